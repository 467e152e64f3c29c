#include "codec/weights.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace karat::codec {
namespace {

float mean_square(const float* x, size_t n) {
  double sum = 0;
  for (size_t i = 0; i < n; ++i) sum += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  return static_cast<float>(sum / static_cast<double>(n));
}

// w holds the conditioned importances if `weighted`, and is replaced.
void weigh_by_magnitude(const float* x, bool weighted, size_t n, float* w) {
  constexpr size_t kBlock = 256;
  constexpr size_t kSub = 32;
  for (size_t begin = 0; begin < n; begin += kBlock) {
    const float variance = 2.0F * mean_square(x + begin, kBlock);
    for (size_t i = begin; i < begin + kBlock; i += kSub) {
      const float average = std::sqrt(mean_square(x + i, kSub));
      for (size_t k = i; k < i + kSub; ++k) {
        w[k] = weighted ? w[k] * std::sqrt(variance + x[k] * x[k]) : average + std::fabs(x[k]);
      }
    }
  }
}

}  // namespace

void weigh(WeightRule rule, std::span<const float> x, std::span<const float> importance,
           std::span<float> w) {
  CHECK(w.size() == x.size());
  CHECK(importance.empty() || importance.size() == x.size());
  if (rule == WeightRule::magnitude) {
    CHECK(x.size() % 256 == 0);
    if (!importance.empty()) {
      condition_weights(importance.data(), static_cast<int>(importance.size()), w.data());
    }
    weigh_by_magnitude(x.data(), !importance.empty(), x.size(), w.data());
  } else if (importance.empty()) {
    std::fill(w.begin(), w.end(), 1.0F);
  } else {
    std::copy(importance.begin(), importance.end(), w.begin());
  }
}

void weigh_by_size(float factor, size_t block, std::span<const float> x,
                   std::span<const float> importance, std::span<float> w) {
  CHECK(w.size() == x.size() && x.size() % block == 0);
  CHECK(importance.empty() || importance.size() == x.size());
  if (importance.empty()) {
    std::fill(w.begin(), w.end(), 1.0F);
    return;
  }
  condition_weights(importance.data(), static_cast<int>(importance.size()), w.data());
  for (size_t begin = 0; begin < x.size(); begin += block) {
    const float variance = factor * mean_square(&x[begin], block);
    for (size_t i = begin; i < begin + block; ++i) w[i] *= std::sqrt(variance + x[i] * x[i]);
  }
}

void condition_weights(const float* w, int n, float* out) {
  double sum = 0;
  for (int i = 0; i < n; ++i) {
    out[i] = std::isfinite(w[i]) && w[i] > 0 ? w[i] : 0.0F;
    sum += static_cast<double>(out[i]);
  }
  if (!(sum > 0)) {
    std::fill(out, out + n, 1.0F);
    return;
  }
  int exponent = 0;
  std::frexp(sum / n, &exponent);
  const double scale = std::ldexp(1.0, -exponent);
  const double floor = sum / n * scale * 1e-6;
  for (int i = 0; i < n; ++i) {
    out[i] = static_cast<float>(std::max(static_cast<double>(out[i]) * scale, floor));
  }
}

}  // namespace karat::codec
