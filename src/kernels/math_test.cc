// The error of exp, sigmoid and softplus in ulp against double precision (whose own error is below
// 2^-28 of a float ulp), on a dense sample of all floats. The bounds are those that math.inl.h
// states and that the other tests build on; the maxima over all floats are 1.008, 2.402 and 2.769.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>

#include "base/half.h"
#include "simd/isa.h"
#include "support/tracked.h"

namespace karat::kernels {
namespace {
#include "simd/vec_scalar.h"

#include "kernels/math.inl.h"

constexpr float kInf = std::numeric_limits<float>::infinity();
// A prime, so that the sample visits all low bits.
constexpr uint32_t kStride = 211;

// Distance in units of the last place of the exact value's float binade (a subnormal step below
// it).
double ulps(float computed, double exact) {
  const int exponent = std::max(std::ilogb(exact), -126);
  return std::abs(static_cast<double>(computed) - exact) / std::ldexp(1.0, exponent - 23);
}

// The largest error over finite floats of magnitude up to `limit`, both signs.
template <class Kernel, class Exact>
double worst_error(float limit, Kernel kernel, Exact exact) {
  double worst = 0;
  const uint32_t end = std::bit_cast<uint32_t>(limit);
  for (uint32_t b = 0; b <= end; b += kStride * 16) {
    F16x x;
    for (uint32_t l = 0; l < 16; ++l) {
      const float magnitude = std::bit_cast<float>(std::min(end, b + l * kStride));
      x.lane[l] = l % 2 == 0 ? magnitude : -magnitude;
    }
    const F16x y = kernel(x);
    for (int l = 0; l < 16; ++l) {
      worst = std::max(worst, ulps(y.lane[l], exact(static_cast<double>(x.lane[l]))));
    }
  }
  return worst;
}

TEST(Exp, ErrorBound) {
  const double worst = worst_error(
      88.7F, [](F16x x) { return exp(x); }, [](double x) { return std::exp(x); });
  RecordProperty("worst_ulp", std::to_string(worst));
  EXPECT_LT(worst, test::kExpUlp);
}

TEST(Exp, SubnormalResults) {
  for (float x = -87.0F; x > -103.97F; x -= 0.0371F) {
    EXPECT_LT(ulps(exp1(x), std::exp(static_cast<double>(x))), test::kExpUlp) << x;
  }
}

TEST(Exp, ExactAndExtremeArguments) {
  EXPECT_EQ(exp1(0.0F), 1.0F);
  EXPECT_EQ(exp1(-0.0F), 1.0F);
  EXPECT_EQ(exp1(-kInf), 0.0F);
  EXPECT_EQ(exp1(-104.0F), 0.0F);
  EXPECT_EQ(exp1(std::numeric_limits<float>::lowest()), 0.0F);
  EXPECT_EQ(exp1(kInf), kInf);
  EXPECT_EQ(exp1(88.73F), kInf);
  EXPECT_EQ(exp1(std::numeric_limits<float>::max()), kInf);
  EXPECT_TRUE(std::isnan(exp1(std::nanf(""))));
}

TEST(Sigmoid, ErrorBound) {
  const double worst = worst_error(
      103.9F, [](F16x x) { return sigmoid(x); }, [](double x) { return 1 / (1 + std::exp(-x)); });
  RecordProperty("worst_ulp", std::to_string(worst));
  EXPECT_LT(worst, test::kSigmoidUlp);
}

TEST(Sigmoid, ExtremeArguments) {
  EXPECT_EQ(first_lane(sigmoid(splat(kInf))), 1.0F);
  EXPECT_EQ(first_lane(sigmoid(splat(-kInf))), 0.0F);
  EXPECT_EQ(first_lane(sigmoid(splat(0.0F))), 0.5F);
  EXPECT_TRUE(std::isnan(first_lane(sigmoid(splat(std::nanf(""))))));
}

TEST(Softplus, ErrorBound) {
  const double worst = worst_error(
      103.9F, [](F16x x) { return softplus(x); },
      [](double x) { return std::fmax(x, 0.0) + std::log1p(std::exp(-std::abs(x))); });
  RecordProperty("worst_ulp", std::to_string(worst));
  EXPECT_LT(worst, test::kSoftplusUlp);
}

TEST(Softplus, AboveTwentyIsTheArgument) {
  for (float x : {20.00001F, 20.5F, 33.0F, 1e10F, std::numeric_limits<float>::max(), kInf}) {
    EXPECT_EQ(first_lane(softplus(splat(x))), x);
  }
  EXPECT_EQ(first_lane(softplus(splat(-kInf))), 0.0F);
  EXPECT_TRUE(std::isnan(first_lane(softplus(splat(std::nanf(""))))));
}

}  // namespace
}  // namespace karat::kernels
