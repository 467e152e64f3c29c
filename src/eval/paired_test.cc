#include "eval/paired.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/rng.h"

namespace karat::eval {
namespace {

struct Samples {
  std::vector<double> a, b, floor;
};

// Chunks of very different difficulty, which both models share.
Samples chunks_of_mixed_difficulty(double a_share, double noise) {
  base::Rng rng(3);
  Samples s;
  for (int i = 0; i < 100; ++i) {
    const double hard = std::exp(3 * rng.uniform());
    s.b.push_back(hard);
    s.a.push_back(hard * (a_share + noise * (rng.uniform() - 0.5)));
    s.floor.push_back(0.1 * hard);
  }
  return s;
}

TEST(Paired, ExactProportionsHaveIntervalsOfNothing) {
  const Samples s = chunks_of_mixed_difficulty(0.5, 0);
  const PairedComparison c = compare_paired(s.a, s.b, s.floor, 1);
  ASSERT_TRUE(c.ratio && c.above_floor);
  EXPECT_NEAR(c.ratio->value, 0.5, 1e-12);
  EXPECT_NEAR(c.ratio->interval.low, 0.5, 1e-12);
  EXPECT_NEAR(c.ratio->interval.high, 0.5, 1e-12);
  EXPECT_NEAR(c.above_floor->value, 0.4 / 0.9, 1e-12);
  EXPECT_NEAR(c.above_floor->interval.high, 0.4 / 0.9, 1e-12);
}

// The chunks' difficulty has a relative standard deviation of 0.8; the paired noise is 20 times
// smaller. An unpaired interval would be at least 2 * 1.96 * 0.8 / sqrt(100) = 0.3 of the ratio
// wide.
TEST(Paired, SharedDifficultyLeavesTheInterval) {
  const Samples s = chunks_of_mixed_difficulty(0.9, 0.1);
  const PairedComparison c = compare_paired(s.a, s.b, {}, 1);
  ASSERT_TRUE(c.ratio);
  EXPECT_FALSE(c.above_floor);
  EXPECT_LT(c.ratio->interval.high - c.ratio->interval.low, 0.03);
  EXPECT_LT(c.ratio->interval.low, c.ratio->value);
  EXPECT_GT(c.ratio->interval.high, c.ratio->value);
  EXPECT_LT(c.difference_interval.high, 0);
  EXPECT_LT(c.difference_interval.low, c.difference);
  EXPECT_GT(c.difference_interval.high, c.difference);
}

TEST(Paired, NoRatioWhereTheOtherIsNotAboveTheFloor) {
  const Samples s = chunks_of_mixed_difficulty(0.5, 0);
  const PairedComparison c = compare_paired(s.a, s.b, s.b, 1);
  EXPECT_TRUE(c.ratio);
  EXPECT_FALSE(c.above_floor);
  const std::vector<double> none(100, 0.0);
  EXPECT_FALSE(compare_paired(s.a, none, {}, 1).ratio);
}

TEST(Paired, ReproducibleFromTheSeed) {
  const Samples s = chunks_of_mixed_difficulty(0.9, 0.5);
  const auto high = [&](uint64_t seed) {
    return compare_paired(s.a, s.b, s.floor, seed).above_floor->interval.high;
  };
  EXPECT_EQ(high(7), high(7));
  EXPECT_NE(high(7), high(8));
}

}  // namespace
}  // namespace karat::eval
