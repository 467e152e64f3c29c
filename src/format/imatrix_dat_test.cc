#include "format/imatrix_dat.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "format/imatrix.h"
#include "support/hostile.h"

namespace karat::format {
namespace {

using tensor::Importance;
using test::TempDir;

const std::string kGoldens = std::string(KARAT_ROOT) + "/tests/fixtures/goldens/imatrix/";

TEST(ImatrixDat, GoldenMatchesItsDump) {
  const Importance read = read_imatrix_dat(kGoldens + "tiny-f32.imatrix.dat", 128);
  const base::Json dump = base::parse_json(base::read_file(kGoldens + "tiny-f32.imatrix.dat.json"));
  EXPECT_EQ(read.chunk_count, dump.at("last_chunk").as_uint());
  ASSERT_EQ(read.datasets.size(), 1u);
  ASSERT_EQ(read.entries.size(), dump.at("entries").as_array().size());
  for (const base::Json& item : dump.at("entries").as_array()) {
    const tensor::ImportanceEntry& entry = read.entries.at(item.at("name").as_string());
    EXPECT_EQ(entry.cols, item.at("nval").as_int());
    EXPECT_EQ(entry.mats, 1);
    EXPECT_EQ(entry.counts, std::vector<int64_t>{item.at("ncall").as_int() * 128});
    for (size_t i = 0; i < 4; ++i) {
      EXPECT_EQ(entry.in_sum2[i], item.at("first4").as_array()[i].as_double() * 128);
    }
  }
}

// llama-imatrix wrote both files from one run.
TEST(ImatrixDat, FromTheGgufGoldenComesTheDatGolden) {
  const TempDir folder;
  write_imatrix_dat(folder.path("x.dat"), read_imatrix(kGoldens + "tiny-f32.imatrix.gguf"));
  EXPECT_TRUE(test::read_bytes(folder.path("x.dat")) ==
              test::read_bytes(kGoldens + "tiny-f32.imatrix.dat"));
}

TEST(ImatrixDat, ReadAndWrittenAgainIsTheSameFile) {
  const TempDir folder;
  const std::string path = folder.write("x.dat", test::small_dat());
  const Importance read = read_imatrix_dat(path, 512);
  EXPECT_EQ(read.chunk_count, 3u);
  EXPECT_EQ(read.datasets, std::vector<std::string>{"data.txt"});
  EXPECT_EQ(read.entries.at("blk.0.a.weight").in_sum2, (std::vector<double>{3 * 512, 6 * 512}));
  EXPECT_EQ(read.entries.at("blk.0.a.weight").counts, std::vector<int64_t>{3 * 512});
  write_imatrix_dat(folder.path("y.dat"), read);
  EXPECT_EQ(test::read_bytes(folder.path("y.dat")), test::small_dat());
}

TEST(ImatrixDat, NoCallsMeanThatTheValuesAreAverages) {
  const TempDir folder;
  const std::string path =
      folder.write("x.dat", test::raw(int32_t{1}) + test::dat_entry("blk.0.a.weight", 0, {3, 6}));
  const Importance read = read_imatrix_dat(path, 4);
  EXPECT_EQ(read.entries.at("blk.0.a.weight").counts, std::vector<int64_t>{4});
  EXPECT_EQ(read.entries.at("blk.0.a.weight").in_sum2, (std::vector<double>{12, 24}));
  EXPECT_TRUE(read.datasets.empty());
}

TEST(ImatrixDat, MatricesWithoutDataAreOnes) {
  const TempDir folder;
  Importance importance;
  importance.chunk_size = 4;
  importance.entries["blk.0.a_exps.weight"] = {2, 3, {8, 16, 0, 0, 5, 10}, {}, {4, 0, 5}};
  importance.entries["blk.0.cold.weight"] = {1, 1, {0}, {}, {0}};
  std::string warned;
  base::set_log_sink([&](base::LogLevel, const std::string& text) { warned = text; });
  write_imatrix_dat(folder.path("x.dat"), importance);
  base::set_log_sink({});
  EXPECT_NE(warned.find("left out: blk.0.cold.weight"), std::string::npos) << warned;
  // Two calls of 4 rows hold the 5 rows of the busiest.
  EXPECT_EQ(test::read_bytes(folder.path("x.dat")),
            test::raw(int32_t{1}) + test::dat_entry("blk.0.a_exps.weight", 2, {4, 8, 2, 2, 2, 4}) +
                test::raw(int32_t{0}) + test::raw(int32_t{0}));
  importance.entries.erase("blk.0.a_exps.weight");
  EXPECT_THROW(write_imatrix_dat(folder.path("y.dat"), importance), base::Error);
  EXPECT_EQ(folder.file_count(), 1u);
}

std::string refusal(const std::string& path) {
  try {
    read_imatrix(path);
  } catch (const base::Error& error) {
    EXPECT_EQ(error.kind(), base::ErrorKind::bad_input);
    return error.what();
  }
  return "";
}

TEST(ImatrixDat, HostileFilesAreRefused) {
  const TempDir folder;
  for (const test::HostileFile& file : test::hostile_imatrix_dats()) {
    const std::string message = refusal(folder.write(file.name, file.bytes));
    EXPECT_NE(message.find(file.words), std::string::npos) << file.name << ": " << message;
    EXPECT_NE(message.find(file.name), std::string::npos) << message;
  }
}

TEST(ImatrixDat, EveryPrefixIsRefusedOrEndsWhereFilesMayEnd) {
  const TempDir folder;
  const std::string bytes = test::small_dat();
  const size_t entries_end = bytes.size() - 16;
  for (size_t length = 0; length < bytes.size(); ++length) {
    const std::string path = folder.write("x.dat", bytes.substr(0, length));
    const bool complete = length == entries_end || length == entries_end + 4;
    EXPECT_EQ(refusal(path).empty(), complete) << length;
  }
}

}  // namespace
}  // namespace karat::format
