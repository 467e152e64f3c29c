#include "codec/breakpoints.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "base/error.h"
#include "base/half.h"
#include "codec/codec.h"
#include "codec/scalar_code.h"

namespace karat::codec {
namespace {

constexpr int kCodesMax = 2;  // of either sign

// Where an element moves from code k - 1 to k in magnitude, and what that adds to sum(w x l) and
// sum(w l^2).
struct Breakpoint {
  float step;
  float xl;
  float ll;
};

// The least-squares step of the rounding that explains most.
float best_step(const float* x, const float* w, int n, int low, int high) {
  std::array<Breakpoint, size_t{kBlockElemsMax} * kCodesMax> breakpoints;
  size_t count = 0;
  for (int i = 0; i < n; ++i) {
    const float magnitude = std::fabs(x[i]);
    if (magnitude == 0) continue;
    const int codes = x[i] < 0 ? -low : high;
    for (int k = 1; k <= codes; ++k) {
      const float between = static_cast<float>(k) - 0.5F;
      breakpoints[count++] = {magnitude / between, w[i] * magnitude, 2 * between * w[i]};
    }
  }
  const auto end = breakpoints.begin() + static_cast<std::ptrdiff_t>(count);
  std::sort(breakpoints.begin(), end,
            [](const Breakpoint& a, const Breakpoint& b) { return a.step > b.step; });
  double xl = 0;
  double ll = 0;
  double best_gain = 0;
  double best = 0;
  for (auto at = breakpoints.begin(); at != end; ++at) {
    xl += static_cast<double>(at->xl);
    ll += static_cast<double>(at->ll);
    if (xl * xl > best_gain * ll) {
      best_gain = xl * xl / ll;
      best = xl / ll;
    }
  }
  return static_cast<float>(best);
}

}  // namespace

double breakpoint_error(const float* x, const float* w, int n, int low, int high, uint16_t d) {
  const float step = base::f16_to_f32(d);
  const float inverse = step > 0 ? 1.0F / step : 0.0F;
  double sum = 0;
  for (int i = 0; i < n; ++i) {
    const float scaled =
        std::clamp(x[i] * inverse, static_cast<float>(low), static_cast<float>(high));
    const double error = static_cast<double>(x[i]) - static_cast<double>(step * round_even(scaled));
    sum += static_cast<double>(w[i]) * error * error;
  }
  return sum;
}

uint16_t search_breakpoints(const float* x, const float* w, int n, int low, int high) {
  CHECK(n <= kBlockElemsMax && high <= kCodesMax && -low <= kCodesMax);
  uint16_t best = 0;
  double best_error = breakpoint_error(x, w, n, low, high, best);
  const auto improves = [&](int half) {
    if (half < 0 || half > 0x7bff) return false;  // zero to the largest finite half
    const uint16_t d = static_cast<uint16_t>(half);
    const double error = breakpoint_error(x, w, n, low, high, d);
    if (!(error < best_error)) return false;
    best = d;
    best_error = error;
    return true;
  };
  float largest = 0;
  for (int i = 0; i < n; ++i) largest = std::max(largest, std::fabs(x[i]));
  // Steps far below the spacing of halves may round to a worse one than a larger step does.
  for (const float step : {best_step(x, w, n, low, high), largest}) {
    improves(base::f32_to_f16(std::min(step, base::kF16Max)));
  }
  for (const int direction : {1, -1}) {
    while (improves(best + direction)) {
    }
  }
  return best;
}

}  // namespace karat::codec
