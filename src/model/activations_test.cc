#include "model/activations.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "base/error.h"
#include "base/half.h"
#include "base/rng.h"
#include "kernels/dispatch.h"

namespace karat::model {
namespace {

using tensor::DType;

std::vector<float> random_row(int64_t n, uint64_t seed) {
  base::Rng rng(seed);
  std::vector<float> x(static_cast<size_t>(n));
  for (float& value : x)
    value = static_cast<float>((rng.uniform() - 0.4) * std::exp(4 * rng.uniform()));
  return x;
}

std::vector<float> round(Rounding rounding, const std::vector<float>& x) {
  std::vector<float> out(x.size());
  round_row(rounding, kernels::table(), x.data(), static_cast<int64_t>(x.size()), out.data());
  return out;
}

TEST(Activations, EachWeightTypeHasItsRounding) {
  EXPECT_EQ(rounding_for(Activations::f32, DType::q4_k), Rounding::none);
  EXPECT_EQ(rounding_for(Activations::bf16, DType::f32), Rounding::none);
  EXPECT_EQ(rounding_for(Activations::bf16, DType::q8_0), Rounding::bf16);
  EXPECT_EQ(rounding_for(Activations::bf16, DType::bf16), Rounding::pairs);
  EXPECT_EQ(rounding_for(Activations::stock, DType::f32), Rounding::none);
  EXPECT_EQ(rounding_for(Activations::stock, DType::bf16), Rounding::bf16);
  EXPECT_EQ(rounding_for(Activations::stock, DType::f16), Rounding::f16);
  EXPECT_EQ(rounding_for(Activations::stock, DType::q8_0), Rounding::q8_0);
  EXPECT_EQ(rounding_for(Activations::stock, DType::q5_0), Rounding::q8_0);
  EXPECT_EQ(rounding_for(Activations::stock, DType::q6_k), Rounding::q8_k);
  EXPECT_EQ(rounding_for(Activations::q8_rows, DType::f32), Rounding::none);
  EXPECT_EQ(rounding_for(Activations::q8_rows, DType::bf16), Rounding::q8);
  EXPECT_EQ(rounding_for_cache(Activations::f32), Rounding::none);
  EXPECT_EQ(rounding_for_cache(Activations::bf16), Rounding::bf16);
  EXPECT_EQ(rounding_for_cache(Activations::stock), Rounding::none);
}

TEST(Activations, HalfTypesAreTheCodecsConversions) {
  const std::vector<float> x = random_row(100, 1);
  const std::vector<float> f16 = round(Rounding::f16, x), bf16 = round(Rounding::bf16, x);
  EXPECT_EQ(round(Rounding::none, x), x);
  for (size_t i = 0; i < x.size(); ++i) {
    EXPECT_EQ(f16[i], base::f16_to_f32(base::f32_to_f16(x[i])));
    EXPECT_EQ(bf16[i], base::bf16_to_f32(base::f32_to_bf16(x[i])));
  }
}

// Blocks of 32: 127 levels on each side of zero, the step in f16.
TEST(Activations, Q8_0) {
  const std::vector<float> x = random_row(96, 2);
  const std::vector<float> y = round(Rounding::q8_0, x);
  for (size_t block = 0; block < x.size(); block += 32) {
    double amax = 0;
    for (size_t i = block; i < block + 32; ++i)
      amax = std::max(amax, std::fabs(static_cast<double>(x[i])));
    const double step = base::f16_to_f32(base::f32_to_f16(static_cast<float>(amax / 127)));
    for (size_t i = block; i < block + 32; ++i) {
      const double level = y[i] / step;
      EXPECT_EQ(level, std::round(level));
      EXPECT_LE(std::fabs(level), 127);
      // half a step, and 127 levels of a step that moved by half an f16 ulp
      EXPECT_LE(std::fabs(y[i] - static_cast<double>(x[i])), step * (0.5 + 127 * 0x1p-11 + 1e-4));
    }
  }
  EXPECT_EQ(round(Rounding::q8_0, std::vector<float>(32)), std::vector<float>(32));
  EXPECT_THROW(round(Rounding::q8_0, std::vector<float>(33)), base::Error);
}

// Blocks of 256 with a signed scale: the element of largest magnitude is always level -127.
TEST(Activations, Q8K) {
  for (const float sign : {1.0F, -1.0F}) {
    std::vector<float> x = random_row(512, 3);
    x[300] = 500 * sign;
    const std::vector<float> y = round(Rounding::q8_k, x);
    const double step = -500.0 * static_cast<double>(sign) / 127;
    EXPECT_NEAR(y[300], 500 * sign, 1e-4);
    for (size_t i = 256; i < 512; ++i) {
      const double level = y[i] / step;
      EXPECT_NEAR(level, std::round(level), 1e-4);
      EXPECT_LE(std::fabs(y[i] - static_cast<double>(x[i])), std::fabs(step) * 0.501);
    }
  }
  EXPECT_EQ(round(Rounding::q8_k, std::vector<float>(256)), std::vector<float>(256));
}

// One block by hand: max 2 gives inverse -63.5 and step -1/63.5; ties go to the even level.
TEST(Activations, Q8KByHand) {
  std::vector<float> x(256);
  x[0] = 2, x[1] = 1, x[2] = -1, x[3] = 0.5F / 63.5F, x[4] = 1.5F / 63.5F;
  const std::vector<float> y = round(Rounding::q8_k, x);
  const float step = 1.0F / (-127.0F / 2.0F);
  EXPECT_EQ(y[0], step * -127);
  EXPECT_EQ(y[1], step * -64);  // -63.5 to even
  EXPECT_EQ(y[2], step * 64);
  EXPECT_EQ(y[5], 0.0F);
}

// The values that the packed products use: codes and scales of quantize_row().
TEST(Activations, Q8IsWhatThePackedProductsMakeOfARow) {
  base::Rng rng(5);
  std::vector<float> x(96);
  for (float& value : x) value = 4 * static_cast<float>(rng.uniform()) - 2;
  for (size_t i = 64; i < 96; ++i) x[i] = 0x1p-110F;
  std::vector<kernels::QuantizedBlock> blocks(1);
  std::vector<float> padded(kernels::kPanelCols, 0.0F);
  std::copy(x.begin(), x.end(), padded.begin());
  kernels::table().quantize_row(padded.data(), kernels::kPanelCols, blocks.data());
  const std::vector<float> y = round(Rounding::q8, x);
  for (size_t i = 0; i < x.size(); ++i) {
    EXPECT_EQ(y[i], blocks[0].scale[i / 32] * static_cast<float>(blocks[0].code[i])) << i;
  }
  const std::vector<float> tail = round(Rounding::q8, {1.0F, 0.25F, -0.5F});
  EXPECT_EQ(tail, (std::vector<float>{127 * (1 / 127.0F), 32 * (1 / 127.0F), -64 * (1 / 127.0F)}));
}

TEST(Activations, HaveTheNamesOfTheCommandLine) {
  EXPECT_EQ(activations_name(Activations::f32), "f32");
  EXPECT_EQ(activations_name(Activations::bf16), "bf16");
  EXPECT_EQ(activations_name(Activations::stock), "stock");
  EXPECT_EQ(activations_name(Activations::q8), "q8");
  EXPECT_EQ(activations_name(Activations::q8_rows), "q8_rows");
}

}  // namespace
}  // namespace karat::model
