#include "calib/activation_statistics.h"

#include <gtest/gtest.h>

#include <cmath>

#include "format/imatrix.h"

namespace karat::calib {
namespace {

using tensor::Importance;

class Goldens : public testing::TestWithParam<const char*> {
 protected:
  Importance golden_ = format::read_imatrix(std::string(KARAT_ROOT) +
                                            "/tests/fixtures/goldens/imatrix/" + GetParam());
};

// llama-imatrix computes its figures from sums in double before they are rounded to the file's
// floats. A figure of n terms then differs by n roundings of its terms at the worst; 1e-6 is 16
// times the rounding of one term.
TEST_P(Goldens, StatsAreLlamaImatrixs) {
  Importance ours = golden_;
  for (auto& [name, entry] : ours.entries) entry.stats.clear();
  base::ThreadPool pool(2);
  fill_activation_stats(ours, pool);
  for (const auto& [name, entry] : golden_.entries) {
    const std::vector<float>& stats = ours.entries.at(name).stats;
    ASSERT_EQ(stats.size(), entry.stats.size()) << name;
    for (size_t i = 0; i < stats.size(); ++i) {
      const std::string what = name + " " + tensor::kActivationStatistics[i];
      EXPECT_EQ(std::isnan(stats[i]), std::isnan(entry.stats[i])) << what;
      if (std::isnan(stats[i])) continue;
      EXPECT_NEAR(stats[i], entry.stats[i], 1e-6 * std::abs(entry.stats[i])) << what;
    }
  }
}

TEST_P(Goldens, AreKeptIfComplete) {
  Importance ours = golden_;
  ours.entries.begin()->second.stats[0] = 42;
  base::ThreadPool pool(1);
  fill_activation_stats(ours, pool);
  EXPECT_EQ(ours.entries.begin()->second.stats[0], 42);
  ours.entries.rbegin()->second.stats.clear();
  fill_activation_stats(ours, pool);
  EXPECT_NE(ours.entries.begin()->second.stats[0], 42);
}

INSTANTIATE_TEST_SUITE_P(ActivationStatistics, Goldens,
                         testing::Values("tiny-f32.imatrix.gguf", "tiny-f32.nextn.imatrix.gguf"));

TEST(ActivationStatistics, OfColumnsThatSawRows) {
  Importance importance;
  // E[x] = 1, 3 and unknown; E[x^2] = 2, 10.
  importance.entries["blk.0.a.weight"] = {1, 3, {4, 20, 0}, {2, 6, 0}, {2, 2, 0}};
  // E[x] = 2 and unknown, 5.
  importance.entries["blk.2.a.weight"] = {1, 3, {9, 0, 99}, {2, 0, 15}, {1, 0, 3}};
  base::ThreadPool pool(1);
  const auto rows = activation_rows(importance, pool);
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0].elements, 2);
  EXPECT_EQ(rows[0].mean, 2);
  EXPECT_EQ(rows[0].std_deviation, 1);
  EXPECT_EQ(rows[0].skewness, 0);
  EXPECT_EQ(rows[0].kurtosis, -2);
  EXPECT_EQ(rows[0].sum_sq, 12);
  const double p = 2.0 / 12, q = 10.0 / 12;
  EXPECT_NEAR(rows[0].h_norm, -100 * (p * std::log2(p) + q * std::log2(q)), 1e-12);
  EXPECT_TRUE(std::isnan(figures_of(rows[0].pair).gain));
  // Only the first column is known in both; layer 1 does not have the tensor.
  const PairFigures pair = figures_of(rows[1].pair);
  EXPECT_EQ(rows[1].pair.columns, 1);
  EXPECT_EQ(pair.l2_dist, 1);
  EXPECT_EQ(pair.cossim, 1);
  EXPECT_TRUE(std::isnan(pair.pearson));
  EXPECT_NEAR(pair.gain, std::sqrt((9 + 33) / 2.0) / std::sqrt(6.0), 1e-12);
}

TEST(ActivationStatistics, WithoutSumsOfXAreOfSquaresAndNotStored) {
  Importance importance;
  importance.entries["output.weight"] = {2, 1, {4, 8}, {}, {2}, {1, 2, 3}};
  importance.entries["blk.0.a.weight"] = {2, 1, {0, 0}, {0, 0}, {2}};
  base::ThreadPool pool(1);
  const auto rows = activation_rows(importance, pool);
  EXPECT_EQ(rows[1].tensor, "output.weight");
  EXPECT_EQ(rows[1].mean, 3);
  fill_activation_stats(importance, pool);
  EXPECT_TRUE(importance.entries.at("output.weight").stats.empty());
  const std::vector<float>& zeros = importance.entries.at("blk.0.a.weight").stats;
  ASSERT_EQ(zeros.size(), 12u);
  EXPECT_EQ(zeros[0], 0);
  EXPECT_TRUE(std::isnan(zeros[4]) && std::isnan(zeros[7]));
}

TEST(ActivationStatistics, LayersPoolTheirTensors) {
  Importance importance;
  importance.entries["blk.0.a.weight"] = {2, 1, {5, 5}, {1, 2}, {1}};
  importance.entries["blk.0.b.weight"] = {2, 1, {5, 5}, {3, 0}, {1}};
  importance.entries["blk.1.a.weight"] = {2, 1, {5, 5}, {1, 5}, {1}};
  importance.entries["blk.1.b.weight"] = {2, 1, {5, 5}, {-1, 0}, {1}};
  base::ThreadPool pool(3);
  const auto layers = activation_layers(activation_rows(importance, pool));
  ASSERT_EQ(layers.size(), 2u);
  EXPECT_EQ(layers[1].sum_sq, 20);
  EXPECT_EQ(figures_of(layers[1].pair).l2_dist, 5);  // sqrt(9 + 16)
  EXPECT_NEAR(figures_of(layers[1].pair).cossim, 8 / std::sqrt(27.0 * 14.0), 1e-12);
  // With the second block as the MTP block there is nothing before it.
  importance.nextn_layers = 1;
  EXPECT_TRUE(
      std::isnan(figures_of(activation_layers(activation_rows(importance, pool))[1].pair).gain));
}

}  // namespace
}  // namespace karat::calib
