#include "allocate/hadamard.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/rng.h"

namespace karat::allocate {
namespace {

TEST(Hadamard, ColumnsAreOrthogonalAndBalanced) {
  const size_t runs = design_runs(20);
  EXPECT_EQ(runs, 32u);
  for (size_t a = 0; a < runs - 1; ++a) {
    int sum = 0;
    for (size_t run = 0; run < runs; ++run) sum += design_sign(run, a);
    EXPECT_EQ(sum, 0);
    for (size_t b = 0; b < a; ++b) {
      int product = 0;
      for (size_t run = 0; run < runs; ++run) product += design_sign(run, a) * design_sign(run, b);
      EXPECT_EQ(product, 0);
    }
  }
}

TEST(Hadamard, WeighsEveryEffectWithTheSameSmallError) {
  const size_t effects = 100, runs = design_runs(effects);
  base::Rng rng(3);
  std::vector<double> truth, results;
  for (size_t i = 0; i < effects; ++i) truth.push_back(rng.uniform() - 0.5);
  for (size_t run = 0; run < runs; ++run) {
    double sum = 7 + 0.1 * (rng.uniform() - 0.5) * std::sqrt(12.0);  // deviation 0.1
    for (size_t i = 0; i < effects; ++i) sum += design_sign(run, i) * truth[i];
    results.push_back(sum);
  }
  const Effects found = weigh(results, effects);
  const double error = 0.1 / std::sqrt(static_cast<double>(runs));
  // 27 columns are left for the noise: its deviation is known to 1 / sqrt(54), three times that.
  EXPECT_NEAR(found.error, error, 3 * error / std::sqrt(54.0));
  double squares = 0;
  for (size_t i = 0; i < effects; ++i) {
    const double z = (found.values[i] - truth[i]) / error;
    EXPECT_LT(std::abs(z), 5) << i;
    squares += z * z;
  }
  EXPECT_NEAR(squares / effects, 1, 5 * std::sqrt(2.0 / effects));
}

}  // namespace
}  // namespace karat::allocate
