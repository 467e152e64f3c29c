#include "calib/gram.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/half.h"
#include "base/rng.h"

namespace karat::calib {
namespace {

std::vector<float> random_rows(int64_t count, int64_t columns) {
  base::Rng rng(3);
  std::vector<float> rows(static_cast<size_t>(count * columns));
  for (float& x : rows) x = static_cast<float>(rng.uniform() * 2 - 0.5);
  return rows;
}

float bf16(float x) { return base::bf16_to_f32(base::f32_to_bf16(x)); }

// Products of bf16 numbers are exact in float32; a block of b rows is added in float32 (at most b
// roundings of u = 2^-24 of the sum of magnitudes), blocks in double.
TEST(Gram, IsTheSumOfOuterProductsOfRoundedRows) {
  constexpr int64_t kRows = 700, kColumns = 150, kStride = 153;
  const std::vector<float> rows = random_rows(kRows, kStride);
  base::ThreadPool pool(2);
  Gram gram(kColumns, 64);
  gram.add(rows.data(), kStride, kRows, pool);
  EXPECT_EQ(gram.rows(), kRows);
  const std::vector<double>& seen = gram.finish(pool);
  double worst = 0;
  for (int64_t i = 0; i < kColumns; ++i) {
    for (int64_t j = 0; j < kColumns; ++j) {
      double sum = 0, size = 0;
      for (int64_t r = 0; r < kRows; ++r) {
        const double x = bf16(rows[static_cast<size_t>(r * kStride + i)]);
        const double y = bf16(rows[static_cast<size_t>(r * kStride + j)]);
        sum += x * y;
        size += std::fabs(x * y);
      }
      const double error = std::fabs(seen[static_cast<size_t>(i * kColumns + j)] - sum);
      ASSERT_LE(error, 64 * 0x1p-24 * size) << i << " " << j;
      worst = std::max(worst, error / size);
    }
  }
  EXPECT_GT(worst, 0);  // it is float32
}

TEST(Gram, DependsOnNeitherCallsNorThreads) {
  constexpr int64_t kRows = 500, kColumns = 140;
  const std::vector<float> rows = random_rows(kRows, kColumns);
  base::ThreadPool one(1), three(3);
  Gram whole(kColumns, 64);
  whole.add(rows.data(), kColumns, kRows, one);
  Gram pieces(kColumns, 64);
  for (int64_t at = 0, count = 1; at < kRows;
       at += count, count = std::min(3 * count, kRows - at)) {
    pieces.add(rows.data() + at * kColumns, kColumns, count, three);
  }
  std::vector<uint16_t> rounded;
  for (const float x : rows) rounded.push_back(base::f32_to_bf16(x));
  std::vector<const uint16_t*> pointers;
  for (int64_t r = 0; r < kRows; ++r) pointers.push_back(rounded.data() + r * kColumns);
  Gram from_bf16(kColumns, 64);
  from_bf16.add(pointers, three);
  EXPECT_EQ(pieces.finish(three), whole.finish(one));
  EXPECT_EQ(from_bf16.finish(three), whole.finish(one));
}

TEST(Gram, BeginsAnew) {
  constexpr int64_t kColumns = 70;
  const std::vector<float> rows = random_rows(90, kColumns);
  base::ThreadPool pool(2);
  Gram used(kColumns, 32), fresh(kColumns, 32);
  EXPECT_EQ(used.finish(pool), std::vector<double>(kColumns * kColumns));
  used.add(rows.data(), kColumns, 90, pool);
  used.finish(pool)[3] = 7;  // the caller's to change
  used.clear();
  EXPECT_EQ(used.rows(), 0);
  used.add(rows.data() + kColumns, kColumns, 40, pool);
  fresh.add(rows.data() + kColumns, kColumns, 40, pool);
  EXPECT_EQ(used.finish(pool), fresh.finish(pool));
  used.clear();
  EXPECT_EQ(used.finish(pool), std::vector<double>(kColumns * kColumns));
}

}  // namespace
}  // namespace karat::calib
