#include "export/q8_plain.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "base/rng.h"
#include "codec/codec.h"

namespace karat::exporting {
namespace {

std::vector<std::byte> encoded(const std::vector<float>& x) {
  std::vector<std::byte> out(x.size() / 32 * 34);
  encode_q8_plain(x, out);
  return out;
}

int8_t code(const std::vector<std::byte>& block, size_t i) {
  return static_cast<int8_t>(block[2 + i]);
}

TEST(Q8Plain, RoundsHalvesAwayFromZero) {
  std::vector<float> x(32, 0);
  x[0] = 127, x[1] = 0.5F, x[2] = -0.5F, x[3] = 1.5F, x[4] = 2.5F, x[5] = -2.4999F, x[6] = -127;
  const std::vector<std::byte> block = encoded(x);
  const int8_t want[] = {127, 1, -1, 2, 3, -2, -127, 0};
  for (size_t i = 0; i < 8; ++i) EXPECT_EQ(code(block, i), want[i]) << i;
  EXPECT_EQ(static_cast<int>(block[0]), 0x00);  // d = 1 as f16
  EXPECT_EQ(static_cast<int>(block[1]), 0x3c);
}

TEST(Q8Plain, HandlesZeroAndDenormalBlocks) {
  EXPECT_EQ(encoded(std::vector<float>(64, 0.0F)), std::vector<std::byte>(68));
  std::vector<float> tiny(32, 1e-45F);
  tiny[1] = -1e-45F;
  const std::vector<std::byte> block = encoded(tiny);
  EXPECT_EQ(static_cast<int>(block[0]), 0);
  EXPECT_GE(code(block, 1), -127);
}

// |x - d q| is at most half a step of the unrounded scale, plus what rounding d to f16 (relative
// 2^-11) moves the largest code of 127.
TEST(Q8Plain, StaysWithinHalfAStep) {
  base::Rng rng(5);
  for (int round = 0; round < 200; ++round) {
    std::vector<float> x(32);
    float largest = 0;
    for (float& value : x) {
      value = static_cast<float>((rng.uniform() - 0.5) * std::pow(10.0, rng.uniform() * 3));
      largest = std::max(largest, std::fabs(value));
    }
    std::vector<float> back(32);
    codec::codec_for(tensor::DType::q8_0).decode(encoded(x), back);
    const float bound = largest / 127 * 0.5F * 1.001F + largest * 0x1p-11F;
    for (size_t i = 0; i < 32; ++i) EXPECT_LE(std::fabs(x[i] - back[i]), bound);
  }
}

}  // namespace
}  // namespace karat::exporting
