// What the formats with one code per element share: the nearest code under an affine grid, and the
// checks of stored halves.
#pragma once

#include <algorithm>
#include <cstring>
#include <span>

#include "codec/codec.h"

namespace karat::codec {

// Nearest integer, ties to even, for |value| < 2^22: adding 1.5 * 2^23 leaves no fraction bits.
inline float round_even(float value) { return (value + 0x1.8p23F) - 0x1.8p23F; }

// The code in [low, high] nearest to x under value = step * code - offset, ties to even. A step of
// zero has one value; its code is 0.
inline void round_scalar(float step, float offset, Code low, Code high, float x, Code* code,
                         float* value) {
  const float inverse = step != 0 ? 1.0F / step : 0.0F;
  const float scaled = (x + offset) * inverse;
  const float nearest =
      round_even(std::clamp(scaled, static_cast<float>(low), static_cast<float>(high)));
  *code = static_cast<Code>(nearest);
  *value = step * nearest - offset;
}

inline bool half_is_finite(uint16_t half) { return (half & 0x7c00U) != 0x7c00U; }

// First block for which `sound(block)` is false; Block is copied out, so bytes need no alignment.
template <class Block, class Sound>
std::optional<int64_t> find_block(std::span<const std::byte> bytes, Sound sound) {
  for (size_t i = 0; i < bytes.size() / sizeof(Block); ++i) {
    Block block;
    std::memcpy(&block, &bytes[i * sizeof(Block)], sizeof block);
    if (!sound(block)) return static_cast<int64_t>(i);
  }
  return std::nullopt;
}

}  // namespace karat::codec
