// Scalar conversions between f32 and the two 16-bit float formats. These define the rounding that
// every kernel reproduces. Inputs and outputs are stored bit patterns for the 16-bit side.
#pragma once

#include <bit>
#include <cstdint>

namespace karat::base {

// Largest finite f16, and the smallest magnitude that rounds to infinity instead of to it.
inline constexpr float kF16Max = 65504.0F;
inline constexpr float kF16Overflow = 65520.0F;

// Exact. A NaN stays a NaN with its payload and becomes quiet, as the hardware conversion does.
inline float f16_to_f32(uint16_t half) {
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000U) << 16;
  const uint32_t exponent = (half >> 10) & 31U;
  const uint32_t mantissa = half & 1023U;
  uint32_t bits;
  if (exponent == 0) {
    bits = std::bit_cast<uint32_t>(static_cast<float>(mantissa) * 0x1p-24F);
  } else if (exponent == 31) {
    bits = 0x7f800000U | mantissa << 13 | (mantissa != 0 ? 0x00400000U : 0U);
  } else {
    bits = (exponent + 112) << 23 | mantissa << 13;
  }
  return std::bit_cast<float>(sign | bits);
}

// Round to nearest even with subnormals; overflow gives infinity, a NaN gives 0x7e00 with its sign.
inline uint16_t f32_to_f16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint32_t sign = bits >> 16 & 0x8000U;
  const uint32_t magnitude = bits & 0x7fffffffU;
  uint32_t half;
  if (magnitude > 0x7f800000U) {
    half = 0x7e00U;
  } else if (magnitude >= std::bit_cast<uint32_t>(kF16Overflow)) {
    half = 0x7c00U;
  } else if (magnitude < 0x38800000U) {
    // Below 2^-14 the f16 spacing is 2^-24, which is the spacing of f32 in [0.5, 1]: adding 0.5
    // makes the addition itself round.
    half = std::bit_cast<uint32_t>(std::bit_cast<float>(magnitude) + 0.5F) -
           std::bit_cast<uint32_t>(0.5F);
  } else {
    half = (magnitude + 0xfffU + (magnitude >> 13 & 1U) - (112U << 23)) >> 13;
  }
  return static_cast<uint16_t>(sign | half);
}

// Exact.
inline float bf16_to_f32(uint16_t bits) {
  return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
}

// Round to nearest even, subnormals kept; a NaN keeps its upper payload and becomes quiet.
inline uint16_t f32_to_bf16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7fffffffU) > 0x7f800000U) return static_cast<uint16_t>(bits >> 16 | 0x40U);
  return static_cast<uint16_t>((bits + 0x7fffU + (bits >> 16 & 1U)) >> 16);
}

}  // namespace karat::base
