#include "tensor/source.h"

#include <gtest/gtest.h>

#include <thread>

#include "base/error.h"

namespace karat::tensor {
namespace {

// Bytes of row r are all r; remembers the last request.
class Rows : public TensorSource {
 public:
  explicit Rows(std::vector<TensorInfo> tensors) : tensors_(std::move(tensors)) {}
  const std::vector<TensorInfo>& tensors() const override { return tensors_; }
  void read_rows(const TensorInfo& tensor, int64_t row_begin, int64_t row_count,
                 std::span<std::byte> out) const override {
    const int64_t bytes = tensor.row_bytes();
    CHECK(out.size() == static_cast<size_t>(row_count * bytes));
    for (size_t i = 0; i < out.size(); ++i) {
      out[i] = static_cast<std::byte>(row_begin + static_cast<int64_t>(i) / bytes);
    }
  }

 private:
  std::vector<TensorInfo> tensors_;
};

Rows example() {
  return Rows({{"a", DType::f32, Shape{4}},
               {"b", DType::q8_0, Shape{3, 2, 64}},
               {"c", DType::f16, Shape{0, 2, 4}}});
}

TEST(TensorInfo, Bytes) {
  const Rows source = example();
  EXPECT_EQ(source.at("a").bytes(), 16);
  EXPECT_EQ(source.at("b").row_bytes(), 68);
  EXPECT_EQ(source.at("b").bytes(), 6 * 68);
  EXPECT_EQ(source.at("c").bytes(), 0);
  const TensorInfo partial_block{"x", DType::q4_k, Shape{2, 100}};
  EXPECT_THROW(partial_block.bytes(), base::Error);
  const TensorInfo huge{"x", DType::f64, Shape{int64_t{1} << 60, 2}};
  EXPECT_THROW(huge.bytes(), base::Error);
}

TEST(TensorSource, FindsByName) {
  const Rows source = example();
  EXPECT_EQ(source.find("b"), &source.tensors()[1]);
  EXPECT_EQ(source.find("B"), nullptr);
  try {
    source.at("blk.\n");
    FAIL();
  } catch (const base::Error& error) {
    EXPECT_EQ(error.kind(), base::ErrorKind::bad_input);
    EXPECT_STREQ(error.what(), "tensor 'blk.\\n' is missing");
  }
}

TEST(TensorSource, FindIsSafeFromSeveralThreads) {
  std::vector<TensorInfo> tensors;
  for (int i = 0; i < 1000; ++i) tensors.push_back({"t" + std::to_string(i), DType::f32, Shape{1}});
  const Rows source(std::move(tensors));
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (size_t i = 0; i < 1000; ++i) {
        EXPECT_EQ(source.find("t" + std::to_string(i)), &source.tensors()[i]);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST(TensorSource, ReadsWholeAndByExpert) {
  const Rows source = example();
  const TensorInfo& b = source.at("b");
  std::vector<std::byte> all(static_cast<size_t>(b.bytes()));
  source.read(b, all);
  EXPECT_EQ(all.front(), std::byte{0});
  EXPECT_EQ(all.back(), std::byte{5});
  std::vector<std::byte> expert(2 * 68);
  source.read_expert(b, 2, expert);
  EXPECT_EQ(expert.front(), std::byte{4});
  EXPECT_EQ(expert.back(), std::byte{5});
  source.read_expert(source.at("a"), 0, std::span(expert).first(16));
  EXPECT_THROW(source.read_expert(b, 3, expert), base::Error);
  EXPECT_THROW(source.read_expert(b, -1, expert), base::Error);
  EXPECT_THROW(source.read_expert(source.at("c"), 0, {}), base::Error);
}

}  // namespace
}  // namespace karat::tensor
