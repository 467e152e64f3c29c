#include "codec/breakpoints.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/half.h"
#include "base/rng.h"

namespace karat::codec {
namespace {

// The least error over all positive halves.
double least_error(const std::vector<float>& x, const std::vector<float>& w, int low, int high) {
  double least = INFINITY;
  for (int half = 0; half <= 0x7bff; ++half) {
    least = std::min(least, breakpoint_error(x.data(), w.data(), static_cast<int>(x.size()), low,
                                             high, static_cast<uint16_t>(half)));
  }
  return least;
}

TEST(Breakpoints, FindTheBestHalf) {
  struct Case {
    size_t n;
    int low, high;
    double scale;
  };
  base::Rng rng(1);
  for (const Case c : {Case{256, -1, 1, 0.02}, Case{64, -1, 2, 0.02}, Case{64, -1, 2, 1e-7},
                       Case{64, -2, 1, 30}}) {
    std::vector<float> x(c.n);
    std::vector<float> w(c.n);
    for (size_t i = 0; i < c.n; ++i) {
      x[i] = static_cast<float>(c.scale * (rng.uniform() - 0.5) / (rng.uniform() + 0.05));
      w[i] = static_cast<float>(std::exp(4 * rng.uniform() - 2));
    }
    const int n = static_cast<int>(c.n);
    const uint16_t d = search_breakpoints(x.data(), w.data(), n, c.low, c.high);
    const double best = least_error(x, w, c.low, c.high);
    // The rounding to a half is compared with its neighbours only.
    EXPECT_LE(breakpoint_error(x.data(), w.data(), n, c.low, c.high, d), best * 1.0001);
  }
}

TEST(Breakpoints, ErrorIsThatOfTheNearestCodes) {
  const float x[] = {1, -1, 0.4F, 3, -5};
  const float w[] = {1, 2, 1, 1, 1};
  // Codes 1, -1, 0, 2, -1 at d = 1.
  EXPECT_NEAR(breakpoint_error(x, w, 5, -1, 2, base::f32_to_f16(1)), 0.16 + 1 + 16, 1e-6);
  EXPECT_EQ(breakpoint_error(x, w, 2, -1, 2, base::f32_to_f16(1)), 0);
}

TEST(Breakpoints, ZerosHaveNoStep) {
  const std::vector<float> zeros(64, 0.0F);
  const std::vector<float> ones(64, 1.0F);
  EXPECT_EQ(search_breakpoints(zeros.data(), ones.data(), 64, -1, 2), 0);
}

}  // namespace
}  // namespace karat::codec
