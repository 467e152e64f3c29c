#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

#include "base/rng.h"
#include "kernels/dispatch.h"
#include "support/buffers.h"

namespace karat::kernels {
namespace {

struct Sums {
  std::vector<double> sum2, sum;
  bool operator==(const Sums&) const = default;
};

// From sums that are not zero, in increasing row.
Sums start(int64_t n) {
  Sums sums;
  for (int64_t c = 0; c < n; ++c) {
    sums.sum2.push_back(static_cast<double>(c) + 0.25);
    sums.sum.push_back(-static_cast<double>(c));
  }
  return sums;
}

TEST(Moments, EveryTableAddsExactSquaresInOrder) {
  base::Rng rng(31);
  for (const int64_t n : {1, 7, 31, 32, 33, 64, 200}) {
    for (const int64_t rows : {0, 1, 5}) {
      const int64_t ldx = n + 3;
      test::Floats x(rows * ldx, 1);
      test::fill_random(x, rng, 20);
      Sums expected = start(n);
      for (int64_t r = 0; r < rows; ++r) {
        for (int64_t c = 0; c < n; ++c) {
          const auto value = static_cast<double>(x.data()[r * ldx + c]);
          expected.sum2[static_cast<size_t>(c)] += value * value;
          expected.sum[static_cast<size_t>(c)] += value;
        }
      }
      for (const KernelTable* table : supported_tables()) {
        Sums sums = start(n);
        table->moments({x.data(), ldx, rows, n, sums.sum2.data(), sums.sum.data()});
        EXPECT_EQ(sums, expected) << table->name << " n=" << n << " rows=" << rows;
      }
    }
  }
}

}  // namespace
}  // namespace karat::kernels
