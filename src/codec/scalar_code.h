// What the formats with one code per element share: the nearest code under an affine grid, and the
// checks of stored halves.
#pragma once

#include <algorithm>
#include <cstring>
#include <span>

#include "codec/codec.h"
#include "codec/table.h"

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

// A format of which every element takes the nearest code of its sub-block's step and offset.
class ScalarCodec : public Codec {
 public:
  void round(const Grid& grid, int index, const float* x, const float*, Code* codes,
             float* values) const final {
    const size_t s = static_cast<size_t>(index / sub_elems());
    round_scalar(grid.step[s], grid.offset[s], low_, high_, *x, codes, values);
  }
  void round_block(const Grid& grid, const float* x, const float*, Code* codes) const final {
    const ScalarGrid scalar = {grid.step.data(), grid.offset.data(), sub_elems(),
                               static_cast<float>(low_), static_cast<float>(high_)};
    table().round_codes(scalar, x, block_elems(), codes);
  }

 protected:
  // Codes are in [low, high].
  ScalarCodec(tensor::DType type, int sub_elems, Code low, Code high, float range_max)
      : Codec(type, sub_elems, 1, range_max), low_(low), high_(high) {}

 private:
  Code low_;
  Code high_;
};

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
