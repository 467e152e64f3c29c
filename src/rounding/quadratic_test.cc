#include "rounding/quadratic.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/rng.h"
#include "rounding/testing.h"

namespace karat::rounding {
namespace {

TEST(Quadratic, FactorsGiveTheDampedHessianBack) {
  base::ThreadPool pool(2);
  for (const int64_t n : {1, 5, 128, 300}) {
    const std::vector<double> hessian = random_hessian(n, 2 * n, 1);
    const Quadratic q = make_quadratic(hessian, n, 0.01, pool);
    double trace = 0;
    for (int64_t i = 0; i < n; ++i) trace += hessian[static_cast<size_t>(i * n + i)];
    const double scale = static_cast<double>(n) / trace;
    for (int64_t i = 0; i < n; ++i) {
      for (int64_t k = 0; k < n; ++k) {
        double product = 0, size = 0;
        for (int64_t p = std::max(i, k); p < n; ++p) {
          const auto row = static_cast<size_t>(p * n);
          const double term = static_cast<double>(q.feedback[row + static_cast<size_t>(i)]) *
                              static_cast<double>(q.feedback[row + static_cast<size_t>(k)]) *
                              static_cast<double>(q.conditional[static_cast<size_t>(p)]);
          product += term, size += std::fabs(term);
        }
        const double want = hessian[static_cast<size_t>(i * n + k)] * scale + (i == k ? 0.01 : 0.0);
        // Higham, theorem 10.3: n + 1 roundings of the terms' sum; twice for the inverse's.
        ASSERT_NEAR(product, want, 2 * static_cast<double>(n + 1) * 0x1p-24 * (size + 1))
            << n << ": " << i << ", " << k;
      }
      EXPECT_EQ(q.feedback[static_cast<size_t>(i * n + i)], 1.0F);
    }
  }
}

TEST(Quadratic, ErrorsAreTheFormAndTheSumOfConditionalOnes) {
  base::ThreadPool pool(1);
  constexpr int64_t n = 96;
  const Quadratic q = make_quadratic(random_hessian(n, 40, 2), n, 0.05, pool);
  const std::vector<float> e = random_values(3 * n, 3);
  std::vector<double> out(3);
  output_errors(q.hessian, n, e.data(), 3, out.data());
  for (size_t r = 0; r < 3; ++r) {
    double sum = 0;
    for (size_t i = 0; i < n; ++i) {
      double residual = 0;
      for (size_t k = 0; k <= i; ++k) {
        residual += static_cast<double>(q.feedback[i * n + k]) * static_cast<double>(e[r * n + k]);
      }
      sum += static_cast<double>(q.conditional[i]) * residual * residual;
    }
    EXPECT_NEAR(out[r], sum, 1e-4 * sum);
  }
}

TEST(Quadratic, OfNothingIsTheIdentity) {
  base::ThreadPool pool(1);
  const Quadratic q = make_quadratic(std::vector<double>(16), 4, 0.01, pool);
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(q.conditional[i], 1.0F);
    for (size_t k = 0; k < i; ++k) EXPECT_EQ(q.feedback[i * 4 + k], 0.0F);
  }
}

TEST(Quadratic, BitsDoNotDependOnThreads) {
  base::ThreadPool one(1), three(3);
  const std::vector<double> hessian = random_hessian(300, 100, 4);
  const Quadratic a = make_quadratic(hessian, 300, 0.01, one);
  const Quadratic b = make_quadratic(hessian, 300, 0.01, three);
  EXPECT_EQ(a.feedback, b.feedback);
  EXPECT_EQ(a.conditional, b.conditional);
}

}  // namespace
}  // namespace karat::rounding
