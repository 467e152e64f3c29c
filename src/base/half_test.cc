#include "base/half.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace karat::base {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// IEEE 754 binary16 by its definition, in double.
double f16_value(unsigned bits) {
  const int exponent = static_cast<int>(bits >> 10 & 31U);
  const double mantissa = bits & 1023U;
  const double sign = (bits & 0x8000U) != 0 ? -1 : 1;
  if (exponent == 0) return sign * std::ldexp(mantissa, -24);
  return sign * std::ldexp(1024 + mantissa, exponent - 25);
}

TEST(Half, EveryF16DecodesToItsDefinition) {
  for (unsigned bits = 0; bits < 0x10000; ++bits) {
    const float value = f16_to_f32(static_cast<uint16_t>(bits));
    const bool negative = (bits & 0x8000U) != 0;
    if ((bits & 0x7c00U) != 0x7c00U) {
      ASSERT_EQ(static_cast<double>(value), f16_value(bits)) << bits;
    } else if ((bits & 1023U) == 0) {
      ASSERT_EQ(value, negative ? -kInfinity : kInfinity) << bits;
    } else {
      ASSERT_TRUE(std::isnan(value)) << bits;
    }
    ASSERT_EQ(std::signbit(value), negative) << bits;
  }
}

TEST(Half, EveryF16AndBF16RoundTrips) {
  for (unsigned i = 0; i < 0x10000; ++i) {
    const uint16_t bits = static_cast<uint16_t>(i);
    const bool f16_nan = (i & 0x7fffU) > 0x7c00U;
    ASSERT_EQ(f32_to_f16(f16_to_f32(bits)), f16_nan ? (i & 0x8000U) | 0x7e00U : i);
    const bool bf16_nan = (i & 0x7fffU) > 0x7f80U;
    ASSERT_EQ(f32_to_bf16(bf16_to_f32(bits)), bf16_nan ? i | 0x40U : i);
  }
}

// Between each pair of neighbours: the midpoint goes to the even one, its f32 neighbours to the
// nearer one. Midpoints of halves are exact in f32.
template <class Encode, class Decode>
void check_rounding(unsigned infinity_bits, float overflow, Encode encode, Decode decode) {
  for (unsigned low = 0; low < infinity_bits; ++low) {
    const unsigned high = low + 1;
    const float below = decode(static_cast<uint16_t>(low));
    const float above = decode(static_cast<uint16_t>(high));
    const float middle =
        high == infinity_bits ? overflow : below + (above - below) * 0.5F;  // exact
    const unsigned even = (low & 1U) == 0 ? low : high;
    ASSERT_EQ(encode(middle), even) << low;
    ASSERT_EQ(encode(std::nextafter(middle, 0.0F)), low) << low;
    ASSERT_EQ(encode(std::nextafter(middle, kInfinity)), high) << low;
    ASSERT_EQ(encode(-middle), even | 0x8000U) << low;
    ASSERT_EQ(encode(-std::nextafter(middle, 0.0F)), low | 0x8000U) << low;
    ASSERT_EQ(encode(-std::nextafter(middle, kInfinity)), high | 0x8000U) << low;
  }
}

TEST(Half, F16RoundsToNearestEven) { check_rounding(0x7c00, kF16Overflow, f32_to_f16, f16_to_f32); }

TEST(Half, BF16RoundsToNearestEven) {
  const float overflow = std::bit_cast<float>(0x7f7f8000U);
  check_rounding(0x7f80, overflow, f32_to_bf16, bf16_to_f32);
}

TEST(Half, SpecialValues) {
  const float nan = std::bit_cast<float>(0x7f800001U);  // signalling, payload in the low bits only
  EXPECT_EQ(f32_to_f16(nan), 0x7e00);
  EXPECT_EQ(f32_to_f16(-nan), 0xfe00);
  EXPECT_EQ(f32_to_bf16(nan), 0x7fc0);
  EXPECT_EQ(f32_to_bf16(-nan), 0xffc0);
  EXPECT_EQ(f32_to_f16(kInfinity), 0x7c00);
  EXPECT_EQ(f32_to_bf16(-kInfinity), 0xff80);
  EXPECT_EQ(f32_to_f16(-0.0F), 0x8000);
  EXPECT_EQ(f32_to_bf16(-0.0F), 0x8000);
  EXPECT_EQ(f32_to_f16(kF16Max), 0x7bff);
  EXPECT_EQ(f32_to_f16(std::numeric_limits<float>::max()), 0x7c00);
  EXPECT_EQ(f32_to_bf16(std::numeric_limits<float>::denorm_min()), 0);
  EXPECT_EQ(f32_to_bf16(std::bit_cast<float>(0x00018000U)), 2);  // a subnormal tie
}

}  // namespace
}  // namespace karat::base
