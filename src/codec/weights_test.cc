#include "codec/weights.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <limits>
#include <vector>

#include "base/rng.h"

namespace karat::codec {
namespace {

std::vector<float> ramp(size_t n) {
  std::vector<float> x(n);
  for (size_t i = 0; i < n; ++i) x[i] = 0.01F * (static_cast<float>(i) - 100.0F);
  return x;
}

TEST(Weights, ImportanceIsTakenAsIs) {
  const std::vector<float> x = {1, 2, 3};
  const std::vector<float> q = {4, 5, 6};
  std::vector<float> w(3);
  weigh(WeightRule::importance, x, q, w);
  EXPECT_EQ(w, q);
  weigh(WeightRule::importance, x, {}, w);
  EXPECT_EQ(w, std::vector<float>(3, 1.0F));
}

TEST(Weights, MagnitudeFollowsTheReference) {
  const std::vector<float> x = ramp(512);
  std::vector<float> q(512);
  base::Rng rng(7);
  for (float& value : q) value = static_cast<float>(rng.uniform());
  std::vector<float> w(512);
  weigh(WeightRule::magnitude, x, q, w);
  condition_weights(q.data(), 512, q.data());
  for (size_t block = 0; block < 512; block += 256) {
    double sum = 0;
    for (size_t i = block; i < block + 256; ++i) sum += static_cast<double>(x[i]) * x[i];
    for (size_t i = block; i < block + 256; ++i) {
      const double want = q[i] * std::sqrt(2 * sum / 256 + static_cast<double>(x[i]) * x[i]);
      // Four roundings to f32 in a row.
      ASSERT_NEAR(w[i], want, 4 * want * 0x1p-24) << i;
    }
  }
}

TEST(Weights, MagnitudeWithoutImportanceIsOverThirtyTwo) {
  const std::vector<float> x = ramp(256);
  std::vector<float> w(256);
  weigh(WeightRule::magnitude, x, {}, w);
  for (size_t sub = 0; sub < 256; sub += 32) {
    double sum = 0;
    for (size_t i = sub; i < sub + 32; ++i) sum += static_cast<double>(x[i]) * x[i];
    for (size_t i = sub; i < sub + 32; ++i) {
      const double want = std::sqrt(sum / 32) + std::fabs(x[i]);
      ASSERT_NEAR(w[i], want, 3 * want * 0x1p-24) << i;
    }
  }
}

TEST(Weights, SizeRuleTakesTheMeanOverItsBlock) {
  const std::vector<float> x = ramp(128);
  std::vector<float> q(128);
  base::Rng rng(8);
  for (float& value : q) value = static_cast<float>(rng.uniform());
  std::vector<float> w(128);
  weigh_by_size(3, 64, x, q, w);
  condition_weights(q.data(), 128, q.data());
  for (size_t i = 0; i < 128; ++i) {
    double sum = 0;
    for (size_t k = i / 64 * 64; k < i / 64 * 64 + 64; ++k) sum += static_cast<double>(x[k]) * x[k];
    const double want = q[i] * std::sqrt(3 * sum / 64 + static_cast<double>(x[i]) * x[i]);
    // Four roundings to f32 in a row.
    ASSERT_NEAR(w[i], want, 4 * want * 0x1p-24) << i;
  }
  weigh_by_size(3, 64, x, {}, w);
  EXPECT_EQ(w, std::vector<float>(128, 1.0F));
}

TEST(Weights, ConditioningKeepsRatiosAndRaisesTheRest) {
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  constexpr float kInf = std::numeric_limits<float>::infinity();
  const std::array<float, 8> w = {3, 1, 0, -5, kNan, kInf, 1e-30F, 1e-3F};
  std::array<float, 8> out;
  condition_weights(w.data(), 8, out.data());
  EXPECT_EQ(out[0], 3 * out[1]);
  EXPECT_FLOAT_EQ(out[7], 1e-3F * out[1]);
  const double mean = 4.001 / 8;
  for (const size_t i : {2U, 3U, 4U, 5U, 6U}) {
    EXPECT_NEAR(out[i] / out[1], 1e-6 * mean, 1e-6 * 1e-6) << i;
  }
}

TEST(Weights, ConditioningHandlesExtremes) {
  std::array<float, 4> out;
  const std::array<float, 4> zeros = {};
  condition_weights(zeros.data(), 4, out.data());
  for (const float value : out) EXPECT_EQ(value, 1);
  for (const float size : {1e-44F, 3e38F}) {  // a denormal, and a mean near the largest f32
    const std::array<float, 4> w = {size, size, size, size};
    condition_weights(w.data(), 4, out.data());
    for (const float value : out) EXPECT_TRUE(value >= 0.5F && value <= 1) << value;
  }
}

}  // namespace
}  // namespace karat::codec
