#include "tensor/statistics.h"

#include <gtest/gtest.h>

#include "support/memory_source.h"

namespace karat::tensor {
namespace {

TEST(Statistics, FlatEntriesGetTheSourcesMatrices) {
  test::MemorySource source;
  source.add("exps", DType::f32, {3, 5, 2});
  source.add("dense", DType::f32, {5, 6});
  Importance importance;
  importance.entries["exps"] = {6, 1, {1, 2, 3, 4, 5, 6}, {}, {2}};
  importance.entries["dense"] = {6, 1, {1, 2, 3, 4, 5, 6}, {}, {2}};
  importance.entries["unknown"] = {6, 1, {1, 2, 3, 4, 5, 6}, {}, {2}};
  split_experts(importance, source);
  EXPECT_EQ(importance.entries.at("exps").mats, 3);
  EXPECT_EQ(importance.entries.at("exps").cols, 2);
  EXPECT_EQ(mean_squares(importance.entries.at("exps"), 1), (std::vector<float>{1.5f, 2}));
  EXPECT_EQ(importance.entries.at("dense").cols, 6);
  EXPECT_EQ(importance.entries.at("unknown").cols, 6);
}

TEST(Statistics, EntriesOfOtherWidthsStay) {
  test::MemorySource source;
  source.add("exps", DType::f32, {3, 5, 4});
  Importance importance;
  importance.entries["exps"] = {6, 1, {1, 2, 3, 4, 5, 6}, {}, {2}};
  split_experts(importance, source);
  EXPECT_EQ(importance.entries.at("exps").cols, 6);
}

TEST(Statistics, MatricesWithoutRowsGetThePooledMean) {
  const ImportanceEntry entry{2, 3, {2, 4, 0, 0, 6, 8}, {}, {1, 0, 3}};
  EXPECT_EQ(mean_squares(entry, 0), (std::vector<float>{2, 4}));
  EXPECT_EQ(mean_squares(entry, 1), (std::vector<float>{2, 3}));
  EXPECT_EQ(mean_squares(entry, 2), (std::vector<float>{2, 8 / 3.0f}));
  EXPECT_EQ(mean_squares({2, 1, {0, 0}, {}, {0}}, 0), (std::vector<float>{1, 1}));
}

}  // namespace
}  // namespace karat::tensor
