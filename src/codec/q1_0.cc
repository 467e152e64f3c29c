// Q1_0 and Q2_0: 128 signs, or 64 codes of -1 to 2, under one half.
#include <array>
#include <cmath>

#include "base/half.h"
#include "codec/blocks.h"
#include "codec/breakpoints.h"
#include "codec/formats.h"
#include "codec/scalar_code.h"
#include "codec/weights.h"

namespace karat::codec {
namespace {

class Q1_0 final : public Codec {
  static constexpr int kElems = 128;

 public:
  Q1_0() : Codec(tensor::DType::q1_0, kElems, 1, base::kF16Max) {}

  // With signs as codes the best step is the weighted mean magnitude.
  Grid search_grid(const float* x, const float* w) const override {
    double sum = 0;
    double weight = 0;
    for (size_t i = 0; i < kElems; ++i) {
      sum += static_cast<double>(w[i]) * static_cast<double>(std::fabs(x[i]));
      weight += static_cast<double>(w[i]);
    }
    Grid grid;
    grid.d = base::f32_to_f16(static_cast<float>(sum / weight));
    grid.step[0] = base::f16_to_f32(grid.d);
    return grid;
  }

  void round(const Grid& grid, int, const float* x, const float*, Code* codes,
             float* values) const override {
    *codes = *x < 0 ? -1 : 1;
    *values = grid.step[0] * static_cast<float>(*codes);
  }

  void pack(const Grid& grid, const Code* codes, std::byte* bytes) const override {
    BlockQ1_0 block = {};
    block.d = grid.d;
    for (int i = 0; i < kElems; ++i) {
      const unsigned bit = codes[i] > 0 ? 1 : 0;
      block.q[i / 8] = static_cast<uint8_t>(block.q[i / 8] | bit << i % 8);
    }
    std::memcpy(bytes, &block, sizeof block);
  }

  void unpack(const std::byte* bytes, Grid& grid, Code* codes) const override {
    BlockQ1_0 block;
    std::memcpy(&block, bytes, sizeof block);
    grid = {};
    grid.d = block.d;
    grid.step[0] = base::f16_to_f32(block.d);
    for (int i = 0; i < kElems; ++i) codes[i] = 2 * (block.q[i / 8] >> i % 8 & 1) - 1;
  }

  std::optional<int64_t> find_bad_block(std::span<const std::byte> bytes) const override {
    return find_block<BlockQ1_0>(bytes, [](const BlockQ1_0& b) { return half_is_finite(b.d); });
  }
};

class Q2_0 final : public ScalarCodec {
  static constexpr int kElems = 64;
  static constexpr int kLow = -1;
  static constexpr int kHigh = 2;

 public:
  Q2_0() : ScalarCodec(tensor::DType::q2_0, kElems, kLow, kHigh, base::kF16Max) {}

  // Of both signs, as the codes are lopsided; the reference leaves code 2 unused.
  Grid search_grid(const float* x, const float* w) const override {
    std::array<float, kElems> mirrored;
    for (size_t i = 0; i < kElems; ++i) mirrored[i] = -x[i];
    const uint16_t plus = search_breakpoints(x, w, kElems, kLow, kHigh);
    const uint16_t minus = search_breakpoints(mirrored.data(), w, kElems, kLow, kHigh);
    const auto error = [&](const float* values, uint16_t d) {
      return breakpoint_error(values, w, kElems, kLow, kHigh, d);
    };
    Grid grid;
    const bool mirror = error(mirrored.data(), minus) < error(x, plus);
    grid.d = mirror ? static_cast<uint16_t>(minus | 0x8000U) : plus;
    grid.step[0] = base::f16_to_f32(grid.d);
    return grid;
  }

  void pack(const Grid& grid, const Code* codes, std::byte* bytes) const override {
    BlockQ2_0 block = {};
    block.d = grid.d;
    for (int i = 0; i < kElems; ++i) {
      const unsigned code = static_cast<unsigned>(codes[i] - kLow);
      block.q[i / 4] = static_cast<uint8_t>(block.q[i / 4] | code << 2 * (i % 4));
    }
    std::memcpy(bytes, &block, sizeof block);
  }

  void unpack(const std::byte* bytes, Grid& grid, Code* codes) const override {
    BlockQ2_0 block;
    std::memcpy(&block, bytes, sizeof block);
    grid = {};
    grid.d = block.d;
    grid.step[0] = base::f16_to_f32(block.d);
    for (int i = 0; i < kElems; ++i) codes[i] = (block.q[i / 4] >> 2 * (i % 4) & 3) + kLow;
  }

  std::optional<int64_t> find_bad_block(std::span<const std::byte> bytes) const override {
    return find_block<BlockQ2_0>(bytes, [](const BlockQ2_0& b) { return half_is_finite(b.d); });
  }
};

}  // namespace

const Codec& q1_0_codec() {
  static const Q1_0 codec;
  return codec;
}

const Codec& q2_0_codec() {
  static const Q2_0 codec;
  return codec;
}

}  // namespace karat::codec
