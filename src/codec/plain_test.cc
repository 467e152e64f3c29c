#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <vector>

#include "base/half.h"
#include "codec/codec.h"

namespace karat::codec {
namespace {

using tensor::DType;

// Every 16-bit pattern through decode, unpack and pack; every finite value through round.
void check_all_patterns(DType type, float (*value_of)(uint16_t)) {
  const Codec& codec = codec_for(type);
  std::vector<uint16_t> patterns(0x10000);
  for (size_t i = 0; i < patterns.size(); ++i) patterns[i] = static_cast<uint16_t>(i);
  std::vector<float> values(patterns.size());
  codec.decode(std::as_bytes(std::span(patterns)), values);
  for (size_t i = 0; i < patterns.size(); ++i) {
    const float want = value_of(patterns[i]);
    ASSERT_EQ(std::bit_cast<uint32_t>(values[i]), std::bit_cast<uint32_t>(want)) << i;
    Grid grid;
    Code code = -1;
    const auto* stored = reinterpret_cast<const std::byte*>(&patterns[i]);
    codec.unpack(stored, grid, &code);
    ASSERT_EQ(code, static_cast<Code>(i));
    uint16_t packed = 0;
    codec.pack(grid, &code, reinterpret_cast<std::byte*>(&packed));
    ASSERT_EQ(packed, i);
    ASSERT_EQ(codec.find_bad_block(std::span(stored, 2)).has_value(), !std::isfinite(want)) << i;
    if (!std::isfinite(want)) continue;
    float rounded = 0;
    codec.round(grid, 0, &want, nullptr, &code, &rounded);
    ASSERT_EQ(code, static_cast<Code>(i));
    ASSERT_EQ(std::bit_cast<uint32_t>(rounded), std::bit_cast<uint32_t>(want));
  }
}

TEST(Plain, EveryF16) { check_all_patterns(DType::f16, base::f16_to_f32); }
TEST(Plain, EveryBF16) { check_all_patterns(DType::bf16, base::bf16_to_f32); }

TEST(Plain, F32KeepsEveryBit) {
  const Codec& codec = codec_for(DType::f32);
  const std::vector<float> x = {0.0F, -0.0F, 1e-45F, -3.4e38F, 1.0F / 3};
  std::vector<std::byte> bytes(x.size() * 4);
  codec.encode_row(x, {}, bytes);
  EXPECT_EQ(std::memcmp(bytes.data(), x.data(), bytes.size()), 0);
  std::vector<float> back(x.size());
  codec.decode(bytes, back);
  EXPECT_EQ(std::memcmp(back.data(), x.data(), bytes.size()), 0);
  Code code = 0;
  float value = 0;
  codec.round({}, 0, &x[3], nullptr, &code, &value);
  EXPECT_EQ(static_cast<uint32_t>(code), std::bit_cast<uint32_t>(x[3]));
  EXPECT_EQ(value, x[3]);
}

// The last value below each limit is stored finite, whatever the rounding.
TEST(Plain, RangeMaxRoundsToTheLargestFiniteValue) {
  EXPECT_EQ(base::f32_to_f16(codec_for(DType::f16).range_max()), 0x7bff);
  EXPECT_EQ(base::f32_to_bf16(codec_for(DType::bf16).range_max()), 0x7f7f);
}

}  // namespace
}  // namespace karat::codec
