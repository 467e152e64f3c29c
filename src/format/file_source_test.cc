#include "format/file_source.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <thread>

#include "base/error.h"
#include "format/gguf.h"
#include "support/files.h"

namespace karat::format {
namespace {

using base::Error;
using base::ErrorKind;
using test::TempDir;

class TwoTensors : public testing::Test {
 protected:
  TempDir folder_;
  std::string path_ = folder_.write("small.gguf", test::small_gguf().str());
  GgufSource source_{path_};
  const tensor::TensorInfo& a_ = source_.at("a");
};

std::vector<float> rows_of(const FileSource& source, const tensor::TensorInfo& tensor,
                           int64_t begin, int64_t count) {
  std::vector<float> rows(static_cast<size_t>(count * tensor.shape.cols()));
  source.read_rows(tensor, begin, count, std::as_writable_bytes(std::span(rows)));
  return rows;
}

TEST_F(TwoTensors, AreReadByRows) {
  EXPECT_EQ(rows_of(source_, a_, 0, 2), (std::vector<float>{0, 1, 2, 3, 4, 5, 6, 7}));
  EXPECT_EQ(rows_of(source_, a_, 1, 1), (std::vector<float>{4, 5, 6, 7}));
  EXPECT_TRUE(rows_of(source_, a_, 2, 0).empty());
  source_.will_read(a_, 0, 2);
}

TEST_F(TwoTensors, AreFoundByEqualNameToo) {
  const tensor::TensorInfo copy = a_;
  EXPECT_EQ(rows_of(source_, copy, 1, 1), (std::vector<float>{4, 5, 6, 7}));
  EXPECT_EQ(source_.place(copy).offset, source_.place(a_).offset);
  EXPECT_THROW(rows_of(source_, {"c", tensor::DType::f32, {1, 4}}, 0, 1), Error);
}

TEST_F(TwoTensors, RowsOutsideAreAnInternalError) {
  for (const auto& [begin, count] : {std::pair<int64_t, int64_t>{0, 3}, {2, 1}, {-1, 1}}) {
    try {
      rows_of(source_, a_, begin, count);
      ADD_FAILURE() << begin << " " << count;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::internal);
    }
  }
  std::byte few[7];
  EXPECT_THROW(source_.read_rows(a_, 0, 1, few), Error);
}

TEST_F(TwoTensors, AFileThatShrankIsNamedWithTheTensor) {
  std::filesystem::resize_file(path_, source_.place(a_).offset + 4);
  try {
    rows_of(source_, a_, 0, 2);
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::bad_input);
    EXPECT_NE(std::string(error.what()).find(path_ + ": tensor 'a': "), std::string::npos)
        << error.what();
  }
}

TEST_F(TwoTensors, KnowTheirFile) {
  EXPECT_EQ(source_.files(), std::vector<std::string>{path_});
  EXPECT_EQ(source_.files_bytes(), std::filesystem::file_size(path_));
  EXPECT_EQ(source_.place(source_.at("b")).offset, source_.place(a_).offset + 32);
}

TEST_F(TwoTensors, AreReadFromSeveralThreads) {
  std::vector<std::thread> threads;
  std::vector<int> good(4, 0);
  for (size_t t = 0; t < good.size(); ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 100; ++i) {
        good[t] += rows_of(source_, source_.at("a"), i % 2, 1)[0] == static_cast<float>(i % 2 * 4);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(good, std::vector<int>(4, 100));
}

}  // namespace
}  // namespace karat::format
