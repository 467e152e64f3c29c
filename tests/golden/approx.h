// A reference forward pass in double that knows how far a float32 evaluation may be from it: every
// value carries a bound on the error of the float32 one, by running error analysis to first order
// (docs/NUMERICS.md derives each rule). It is written from the definitions, one value at a time,
// and shares no code with the pass it judges.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "model/weights.h"

namespace karat::golden {

constexpr double kUnit = 0x1p-24;  // unit roundoff of float32
constexpr double kSecondOrder =
    1.001;  // covers the terms in kUnit^2, all sums being shorter than 1e4
// Relative error bounds of the kernels' functions, in units of kUnit (an ulp is at most 2 of them).
constexpr double kExp = 2.2, kSigmoid = 6, kSoftplus = 8;

// A row of values, each with the bound of its float32 evaluation's error.
struct Approx {
  std::vector<double> v, e;
  Approx() = default;
  explicit Approx(size_t n) : v(n), e(n) {}
  size_t size() const { return v.size(); }
  // Part [first, first + n).
  Approx part(int64_t first, int64_t n) const {
    Approx out;
    out.v.assign(v.begin() + first, v.begin() + first + n);
    out.e.assign(e.begin() + first, e.begin() + first + n);
    return out;
  }
  void append(const Approx& other) {
    v.insert(v.end(), other.v.begin(), other.v.end());
    e.insert(e.end(), other.e.begin(), other.e.end());
  }
};

// Exact values that the pass receives rounded to float32.
inline Approx rounded(const std::vector<double>& values) {
  Approx out(values.size());
  out.v = values;
  for (size_t i = 0; i < values.size(); ++i) {
    out.e[i] = std::fabs(values[i] - static_cast<double>(static_cast<float>(values[i])));
  }
  return out;
}

// Roundings that an element passes through in a sum of n terms in 16 lanes.
inline double lane_steps(size_t n) { return std::ceil(static_cast<double>(n) / 16) + 4; }

inline Approx linear(const model::Linear& w, const Approx& x, int64_t expert = 0) {
  const auto* data = reinterpret_cast<const float*>(w.expert(expert));
  Approx y(static_cast<size_t>(w.rows));
  for (size_t j = 0; j < y.size(); ++j) {
    double magnitude = 0;
    for (size_t k = 0; k < x.size(); ++k) {
      const double weight = data[j * x.size() + k];
      y.v[j] += weight * x.v[k];
      y.e[j] += std::fabs(weight) * x.e[k];
      magnitude += std::fabs(weight * x.v[k]);
    }
    y.e[j] = (y.e[j] + lane_steps(x.size()) * kUnit * magnitude) * kSecondOrder;
  }
  return y;
}

// x * inverse, inverse = 1 / sqrt(sum(x^2) * share + eps), then * w if there is one.
inline Approx normalize(const Approx& x, double share, double eps, const float* w) {
  double sum = 0, error = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    sum += x.v[i] * x.v[i] * share;
    error += 2 * std::fabs(x.v[i]) * x.e[i] * share;
  }
  const double inverse = 1 / std::sqrt(sum + eps);
  const double relative = (error + (lane_steps(x.size()) + 1) * kUnit * sum) / (sum + eps) + kUnit;
  Approx y(x.size());
  for (size_t i = 0; i < x.size(); ++i) {
    const double factor = inverse * (w == nullptr ? 1.0 : static_cast<double>(w[i]));
    y.v[i] = x.v[i] * factor;
    // half the sum's error through the root; root, division and up to two products round
    y.e[i] = (x.e[i] * std::fabs(factor) + std::fabs(y.v[i]) * (relative / 2 + 4 * kUnit)) *
             kSecondOrder;
  }
  return y;
}
inline Approx rms_norm(const Approx& x, const model::Vector& w, double eps) {
  return normalize(x, 1 / static_cast<double>(x.size()), eps, w.data());
}
inline Approx l2_norm(const Approx& x, double eps) { return normalize(x, 1, eps, nullptr); }

inline double sigmoid_of(double x) { return 1 / (1 + std::exp(-x)); }

inline Approx sigmoid(const Approx& x) {
  Approx y(x.size());
  for (size_t i = 0; i < x.size(); ++i) {
    y.v[i] = sigmoid_of(x.v[i]);
    y.e[i] = (y.v[i] * (1 - y.v[i]) * x.e[i] + kSigmoid * kUnit * y.v[i]) * kSecondOrder;
  }
  return y;
}

inline Approx multiply(const Approx& a, const Approx& b) {
  Approx y(a.size());
  for (size_t i = 0; i < a.size(); ++i) {
    y.v[i] = a.v[i] * b.v[i];
    y.e[i] = (a.e[i] * std::fabs(b.v[i]) + b.e[i] * std::fabs(a.v[i]) + kUnit * std::fabs(y.v[i])) *
             kSecondOrder;
  }
  return y;
}

// x * sigmoid(x); the input's error counts once, by the derivative.
inline Approx silu(const Approx& x) {
  Approx y(x.size());
  for (size_t i = 0; i < x.size(); ++i) {
    const double s = sigmoid_of(x.v[i]);
    y.v[i] = x.v[i] * s;
    const double slope = std::fabs(s * (1 + x.v[i] * (1 - s)));
    y.e[i] = (slope * x.e[i] + (kSigmoid + 1) * kUnit * std::fabs(y.v[i])) * kSecondOrder;
  }
  return y;
}

inline Approx add(const Approx& a, const Approx& b) {
  Approx y(a.size());
  for (size_t i = 0; i < a.size(); ++i) {
    y.v[i] = a.v[i] + b.v[i];
    y.e[i] = a.e[i] + b.e[i] + kUnit * std::fabs(y.v[i]) * kSecondOrder;
  }
  return y;
}

// sum + factor * x with one rounding.
inline Approx add_scaled(const Approx& sum, double factor, double factor_error, const Approx& x) {
  Approx y(x.size());
  for (size_t i = 0; i < x.size(); ++i) {
    y.v[i] = sum.v[i] + factor * x.v[i];
    y.e[i] = (sum.e[i] + std::fabs(factor) * x.e[i] + factor_error * std::fabs(x.v[i]) +
              kUnit * std::fabs(y.v[i])) *
             kSecondOrder;
  }
  return y;
}

// A change d of the logits changes each probability by the factor 1 + d_i - sum(p d).
inline Approx softmax(const Approx& x) {
  const double top = *std::max_element(x.v.begin(), x.v.end());
  Approx y(x.size());
  double sum = 0, mean_error = 0;
  for (size_t i = 0; i < x.size(); ++i) sum += y.v[i] = std::exp(x.v[i] - top);
  std::vector<double> shift(x.size());
  for (size_t i = 0; i < x.size(); ++i) {
    y.v[i] /= sum;
    shift[i] = x.e[i] + kUnit * std::fabs(x.v[i] - top);
    mean_error += y.v[i] * shift[i];
  }
  for (size_t i = 0; i < x.size(); ++i) {
    const double own = 2 * kExp + lane_steps(x.size()) + 1;
    y.e[i] = y.v[i] * (shift[i] + mean_error + own * kUnit) * kSecondOrder;
  }
  return y;
}

}  // namespace karat::golden
