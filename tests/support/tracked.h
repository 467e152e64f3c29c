// Running error analysis: a number computed in double together with a rigorous bound on how far the
// same expression evaluated in float may be from it (Higham, Accuracy and Stability of Numerical
// Algorithms, sections 2.2, 3.1 and 3.3). A test writes the formula once, naively, and gets the
// exact value and the tolerance; nobody picks a tolerance.
//
// Model: a float operation returns x (1 + d) + h, |d| <= u = 2^-24, |h| <= 2^-150 (underflow). The
// errors of the double computation itself, 2^-53 per operation, are covered by kSlack.
#pragma once

#include <cmath>
#include <cstdint>

namespace karat::test {

constexpr double kUnit = 0x1p-24;
constexpr double kUnderflow = 0x1p-150;
// Covers the double arithmetic of value and bound: every bound below is a sum of positive terms,
// each with a relative error of a few 2^-53 per operation.
constexpr double kSlack = 1 + 1e-6;

struct Tracked {
  double value = 0;
  double error = 0;

  Tracked() = default;
  Tracked(double v, double e = 0) : value(v), error(e) {}  // NOLINT: a float input is exact

  bool covers(float computed) const {
    return std::abs(static_cast<double>(computed) - value) <=
           error * kSlack + std::abs(value) * 1e-12;
  }
};

// The value after one rounding of relative size `units` * u.
inline Tracked rounded(double value, double error, double units = 1) {
  return {value, error + units * kUnit * (std::abs(value) + error) + kUnderflow};
}

inline Tracked operator+(Tracked a, Tracked b) {
  return rounded(a.value + b.value, a.error + b.error);
}
inline Tracked operator-(Tracked a, Tracked b) {
  return rounded(a.value - b.value, a.error + b.error);
}

// The error of an unrounded product.
inline double product_error(Tracked a, Tracked b) {
  return std::abs(a.value) * b.error + std::abs(b.value) * a.error + a.error * b.error;
}

inline Tracked operator*(Tracked a, Tracked b) {
  return rounded(a.value * b.value, product_error(a, b));
}

// |a'/b' - a/b| <= (ea + |a/b| eb) / (|b| - eb). The divisor's error must be below its magnitude.
inline Tracked operator/(Tracked a, Tracked b) {
  const double quotient = a.value / b.value;
  const double error = (a.error + std::abs(quotient) * b.error) / (std::abs(b.value) - b.error);
  return rounded(quotient, error);
}

inline Tracked sqrt(Tracked a) {
  const double root = std::sqrt(a.value);
  return rounded(root, root > 0 ? a.error / root : std::sqrt(a.error));
}

// Error bounds of the kernels' own functions in ulp; an ulp is at most 2 u times the value, or one
// subnormal step. math_test.cc measures them.
constexpr double kExpUlp = 1.1;
constexpr double kSigmoidUlp = 3;
constexpr double kSoftplusUlp = 4;

inline Tracked with_ulp(double value, double error, double ulp) {
  Tracked t = rounded(value, error, 2 * ulp);
  t.error += ulp * 0x1p-149;
  return t;
}

inline Tracked exp(Tracked a) {
  const double value = std::exp(a.value);
  return with_ulp(value, value * std::expm1(a.error), kExpUlp);
}

// |d ln sigmoid / dx| <= 1.
inline Tracked sigmoid(Tracked a) {
  const double value =
      a.value < 0 ? std::exp(a.value) / (1 + std::exp(a.value)) : 1 / (1 + std::exp(-a.value));
  return with_ulp(value, value * std::expm1(a.error), kSigmoidUlp);
}

inline Tracked silu(Tracked a) { return a * sigmoid(a); }

// |d softplus / dx| <= 1.
inline Tracked softplus(Tracked a) {
  const double value = std::fmax(a.value, 0) + std::log1p(std::exp(-std::abs(a.value)));
  return with_ulp(value, a.error, kSoftplusUlp);
}

// A sum of products with fused multiply-adds. Whatever the order, no term passes through more than
// `roundings` roundings, so the error is the terms' own plus gamma(roundings) times the sum of
// their magnitudes, gamma(n) = n u / (1 - n u).
class TrackedSum {
 public:
  void add(Tracked a, Tracked b) {
    value_ += a.value * b.value;
    const double error = product_error(a, b);
    error_ += error;
    magnitude_ += std::abs(a.value * b.value) + error;
    ++terms_;
  }
  Tracked total(int64_t roundings) const {
    const double n = static_cast<double>(roundings) * kUnit;
    return {value_, error_ + n / (1 - n) * magnitude_ + static_cast<double>(terms_) * kUnderflow};
  }
  // In the kernels' order over n terms: 16 chains, then four additions.
  Tracked lanes() const { return total((terms_ + 15) / 16 + 4); }
  // One chain.
  Tracked chain() const { return total(terms_); }

 private:
  double value_ = 0;
  double error_ = 0;
  double magnitude_ = 0;
  int64_t terms_ = 0;
};

}  // namespace karat::test
