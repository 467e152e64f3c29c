#include "calib/importance_merge.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "base/log.h"

namespace karat::calib {
namespace {

using tensor::Importance;
using tensor::ImportanceEntry;

class Merge : public testing::Test {
 protected:
  Merge() {
    base::set_log_sink([this](base::LogLevel, const std::string& text) { said_ += text + "\n"; });
  }
  ~Merge() override { base::set_log_sink({}); }

  static Importance part(const std::string& file, ImportanceEntry entry) {
    Importance part;
    part.file = file;
    part.datasets = {file + ".txt"};
    part.chunk_count = 3;
    part.chunk_size = 8;
    part.entries["blk.0.x_exps.weight"] = std::move(entry);
    return part;
  }

  std::string said_;
};

const ImportanceEntry kStacked{2, 2, {1, 2, 3, 4}, {1, 1, 1, 1}, {5, 0}, {7, 7}};

TEST_F(Merge, AddsSumsCountsChunksAndNames) {
  const Importance sum =
      merge_importance({part("a", kStacked), part("b", kStacked), part("c", kStacked)});
  const ImportanceEntry& entry = sum.entries.at("blk.0.x_exps.weight");
  EXPECT_EQ(entry.in_sum2, (std::vector<double>{3, 6, 9, 12}));
  EXPECT_EQ(entry.in_sum, (std::vector<double>{3, 3, 3, 3}));
  EXPECT_EQ(entry.counts, (std::vector<int64_t>{15, 0}));
  EXPECT_TRUE(entry.stats.empty());
  EXPECT_EQ(sum.chunk_count, 9u);
  EXPECT_EQ(sum.datasets, (std::vector<std::string>{"a.txt", "b.txt", "c.txt"}));
  EXPECT_EQ(said_, "");
}

TEST_F(Merge, OneAloneIsKept) {
  const Importance sum = merge_importance({part("a", kStacked)});
  EXPECT_EQ(sum.entries.at("blk.0.x_exps.weight").stats, (std::vector<float>{7, 7}));
}

TEST_F(Merge, EntriesOfOnePartAreTakenAndNamed) {
  Importance other = part("b", kStacked);
  other.entries["output.weight"] = {1, 1, {9}, {}, {3}};
  const Importance sum = merge_importance({part("a", kStacked), other});
  EXPECT_EQ(sum.entries.at("output.weight").in_sum2, std::vector<double>{9});
  EXPECT_NE(said_.find("a has no entry for output.weight"), std::string::npos) << said_;
}

TEST_F(Merge, FlatEntriesOfDatFilesCountForEveryExpert) {
  const Importance flat = part("b.dat", {4, 1, {8, 8, 8, 8}, {}, {16}});
  for (const auto& parts : {std::vector{part("a", kStacked), flat}, {flat, part("a", kStacked)}}) {
    said_.clear();
    const ImportanceEntry entry = merge_importance(parts).entries.at("blk.0.x_exps.weight");
    EXPECT_EQ(entry.cols, 2);
    EXPECT_EQ(entry.mats, 2);
    EXPECT_EQ(entry.in_sum2, (std::vector<double>{9, 10, 11, 12}));
    EXPECT_EQ(entry.counts, (std::vector<int64_t>{21, 16}));
    EXPECT_TRUE(entry.in_sum.empty());
    EXPECT_NE(said_.find("approximate"), std::string::npos) << said_;
    EXPECT_NE(said_.find("not all files have means"), std::string::npos) << said_;
  }
  const ImportanceEntry both = merge_importance({flat, flat}).entries.at("blk.0.x_exps.weight");
  EXPECT_EQ(both.mats, 1);
  EXPECT_EQ(both.counts, std::vector<int64_t>{32});
}

TEST_F(Merge, ChunksOfAnotherSizeAreCountedByTheirTokens) {
  Importance other = part("b", kStacked);
  other.chunk_size = 20;
  const Importance sum = merge_importance({part("a", kStacked), other});
  EXPECT_EQ(sum.chunk_size, 8u);
  EXPECT_EQ(sum.chunk_count, 3u + 8u);  // 60 tokens
  EXPECT_NE(said_.find("b has chunks of 20 tokens, a of 8"), std::string::npos) << said_;
}

TEST_F(Merge, OtherWidthsAreAnotherModel) {
  for (const ImportanceEntry& wrong : {ImportanceEntry{3, 2, {1, 2, 3, 4, 5, 6}, {}, {1, 1}},
                                       ImportanceEntry{1, 4, {1, 2, 3, 4}, {}, {1, 1, 1, 1}}}) {
    try {
      merge_importance({part("a", kStacked), part("b", wrong)});
      FAIL();
    } catch (const base::Error& error) {
      EXPECT_EQ(error.kind(), base::ErrorKind::bad_input);
      EXPECT_NE(std::string(error.what()).find("b: entry 'blk.0.x_exps.weight'"), std::string::npos)
          << error.what();
    }
  }
}

}  // namespace
}  // namespace karat::calib
