// What the tests of this folder share: random layers' inputs and weights.
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include "base/rng.h"

namespace karat::rounding {

inline std::vector<float> random_values(int64_t count, uint64_t seed) {
  base::Rng rng(seed);
  std::vector<float> out;
  for (int64_t i = 0; i < count; ++i) {
    double sum = 0;  // nearly normal
    for (int k = 0; k < 4; ++k) sum += rng.uniform() - 0.5;
    out.push_back(static_cast<float>(sum));
  }
  return out;
}

// Sum of x^T x over `rows` rows whose columns are strongly correlated (one in four directions has
// most of the energy) and of different sizes.
inline std::vector<double> random_hessian(int64_t n, int64_t rows, uint64_t seed) {
  const std::vector<float> few = random_values(rows * (n / 4 + 1), seed);
  const std::vector<float> mix = random_values((n / 4 + 1) * n, seed + 1);
  const std::vector<float> own = random_values(rows * n, seed + 2);
  std::vector<double> out(static_cast<size_t>(n * n));
  std::vector<double> x(static_cast<size_t>(n));
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < n; ++c) {
      double sum = 0.2 * static_cast<double>(own[static_cast<size_t>(r * n + c)]);
      for (int64_t k = 0; k < n / 4 + 1; ++k) {
        sum += static_cast<double>(few[static_cast<size_t>(r * (n / 4 + 1) + k)]) *
               static_cast<double>(mix[static_cast<size_t>(k * n + c)]);
      }
      x[static_cast<size_t>(c)] = sum * (0.5 + 1.5 * static_cast<double>(c % 7) / 7);
    }
    for (size_t i = 0; i < x.size(); ++i) {
      for (size_t k = 0; k < x.size(); ++k) out[i * x.size() + k] += x[i] * x[k];
    }
  }
  return out;
}

}  // namespace karat::rounding
