// MXFP4 and NVFP4: codes are four-bit floats (E2M1, stored doubled). MXFP4 has a power of two per
// 32 elements, NVFP4 an unsigned eight-bit float (UE4M3) per 16.
#include <algorithm>
#include <array>
#include <cmath>

#include "base/half.h"
#include "codec/blocks.h"
#include "codec/codebook.h"
#include "codec/formats.h"
#include "codec/nibbles.h"
#include "codec/scalar_code.h"

namespace karat::codec {
namespace {

constexpr float kLevelMax = 12;

uint8_t nibble_of(Code level) {
  const auto end = kFp4Levels.begin() + 8;
  const auto at = std::lower_bound(kFp4Levels.begin(), end, std::abs(level));
  return static_cast<uint8_t>((at - kFp4Levels.begin()) | (level < 0 ? 8 : 0));
}

Code level_of(uint8_t nibble) { return kFp4Levels[nibble]; }

void round_level(float step, float x, Code* code, float* value) {
  const float magnitude = step != 0 ? nearest_level(fp4_book(), std::fabs(x) / step) : 0.0F;
  const float level = x < 0 ? -magnitude : magnitude;
  *code = static_cast<Code>(level);
  *value = step * static_cast<float>(*code);
}

// The step of scale byte e.
float exponent_step(int e) { return std::ldexp(1.0F, e - 128); }

class MXFP4 final : public Codec {
  static constexpr int kElems = 32;
  static constexpr int kLargest = 254;  // 255 stands for NaN
  // Around the exponent that the reference takes, which puts the largest magnitude at 8 to 16.
  static constexpr int kBelow = 4;
  static constexpr int kAbove = 2;

 public:
  // The largest value below infinity: levels 8 and 12 under larger steps exceed f32.
  MXFP4() : Codec(tensor::DType::mxfp4, kElems, 1, kLevelMax * 0x1p124F) {}

  Grid search_grid(const float* x, const float* w) const override {
    std::array<float, kElems> magnitudes;
    float largest = 0;
    for (size_t i = 0; i < kElems; ++i) {
      magnitudes[i] = std::fabs(x[i]);
      largest = std::max(largest, magnitudes[i]);
    }
    Grid grid;
    if (largest > 0) {
      // Scaled to a largest magnitude in [8, 16), so that squares neither overflow nor vanish.
      const int exponent = std::ilogb(largest) - 3;
      for (float& value : magnitudes) value = std::ldexp(value, -exponent);
      std::array<float, kBelow + kAbove + 1> steps;
      std::array<int, steps.size()> bytes;
      for (size_t i = 0; i < steps.size(); ++i) {
        bytes[i] = std::clamp(exponent + 128 + static_cast<int>(i) - kBelow, 0, kLargest);
        steps[i] = std::ldexp(1.0F, bytes[i] - 128 - exponent);
      }
      const size_t best = best_step(fp4_book(), magnitudes.data(), w, kElems, steps);
      grid.scale[0] = static_cast<int16_t>(bytes[best]);
    }
    grid.step[0] = exponent_step(grid.scale[0]);
    return grid;
  }

  void round(const Grid& grid, int, const float* x, const float*, Code* codes,
             float* values) const override {
    round_level(grid.step[0], *x, codes, values);
  }

  void pack(const Grid& grid, const Code* codes, std::byte* bytes) const override {
    BlockMXFP4 block;
    block.e = static_cast<uint8_t>(grid.scale[0]);
    pack_nibbles(codes, kElems, block.q, nibble_of);
    std::memcpy(bytes, &block, sizeof block);
  }

  void unpack(const std::byte* bytes, Grid& grid, Code* codes) const override {
    BlockMXFP4 block;
    std::memcpy(&block, bytes, sizeof block);
    grid = {};
    grid.scale[0] = block.e;
    grid.step[0] = exponent_step(block.e);
    unpack_nibbles(block.q, kElems, codes, level_of);
  }

  std::optional<int64_t> find_bad_block(std::span<const std::byte> bytes) const override {
    return find_block<BlockMXFP4>(bytes, [](const BlockMXFP4& b) { return b.e != 255; });
  }
};

// The step of a UE4M3 scale byte; halved, since levels are doubled. The sign bit is not looked at.
float ue4m3_step(int byte) {
  if (byte == 0 || byte == 127) return 0;
  const int exponent = byte >> 3 & 15;
  const float mantissa = static_cast<float>(byte & 7);
  if (exponent == 0) return mantissa * 0x1p-10F;
  return std::ldexp(1 + mantissa / 8, exponent - 8);
}

class NVFP4 final : public Codec {
  static constexpr int kElems = 64;
  static constexpr int kSubs = 4;
  static constexpr int kSubElems = kElems / kSubs;
  static constexpr int kLargest = 126;  // 448 / 2; 127 stands for NaN
  static constexpr int kTried = 16;

 public:
  NVFP4() : Codec(tensor::DType::nvfp4, kSubElems, 1, kLevelMax * 224) {}

  Grid search_grid(const float* x, const float* w) const override {
    Grid grid;
    for (size_t s = 0; s < kSubs; ++s) {
      const int byte = choose_scale(x + s * kSubElems, w + s * kSubElems);
      grid.scale[s] = static_cast<int16_t>(byte);
      grid.step[s] = ue4m3_step(byte);
    }
    return grid;
  }

  void round(const Grid& grid, int index, const float* x, const float*, Code* codes,
             float* values) const override {
    round_level(grid.step[static_cast<size_t>(index / kSubElems)], *x, codes, values);
  }

  void pack(const Grid& grid, const Code* codes, std::byte* bytes) const override {
    BlockNVFP4 block;
    for (size_t s = 0; s < kSubs; ++s) {
      block.scales[s] = static_cast<uint8_t>(grid.scale[s]);
      pack_nibbles(codes + s * kSubElems, kSubElems, block.q + s * kSubElems / 2, nibble_of);
    }
    std::memcpy(bytes, &block, sizeof block);
  }

  void unpack(const std::byte* bytes, Grid& grid, Code* codes) const override {
    BlockNVFP4 block;
    std::memcpy(&block, bytes, sizeof block);
    grid = {};
    for (size_t s = 0; s < kSubs; ++s) {
      grid.scale[s] = block.scales[s];
      grid.step[s] = ue4m3_step(block.scales[s]);
      unpack_nibbles(block.q + s * kSubElems / 2, kSubElems, codes + s * kSubElems, level_of);
    }
  }

  // Every byte is a number: ggml's row validation has nothing to check either.
  std::optional<int64_t> find_bad_block(std::span<const std::byte>) const override {
    return std::nullopt;
  }

 private:
  // The best scale byte within an octave of the one that puts the largest magnitude at the top.
  static int choose_scale(const float* x, const float* w) {
    std::array<float, kSubElems> magnitudes;
    float largest = 0;
    for (size_t i = 0; i < kSubElems; ++i) {
      magnitudes[i] = std::fabs(x[i]);
      largest = std::max(largest, magnitudes[i]);
    }
    if (largest == 0) return 0;
    int top = 1;
    while (top < kLargest && ue4m3_step(top) * kLevelMax < largest) ++top;
    const int first = std::clamp(top - kTried / 2, 0, kLargest - kTried + 1);
    std::array<float, kTried> steps;
    for (size_t i = 0; i < kTried; ++i) steps[i] = ue4m3_step(first + static_cast<int>(i));
    return first + static_cast<int>(best_step(fp4_book(), magnitudes.data(), w, kSubElems, steps));
  }
};

}  // namespace

const Codec& mxfp4_codec() {
  static const MXFP4 codec;
  return codec;
}

const Codec& nvfp4_codec() {
  static const NVFP4 codec;
  return codec;
}

}  // namespace karat::codec
