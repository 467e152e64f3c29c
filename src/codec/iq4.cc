// IQ4_NL and IQ4_XS: four-bit codes that are levels of one list, denser near zero. IQ4_NL has a
// half per 32 elements; IQ4_XS a half per 256 and a 6-bit signed scale per 32.
#include "base/half.h"
#include "codec/blocks.h"
#include "codec/codebook.h"
#include "codec/formats.h"
#include "codec/nibbles.h"
#include "codec/scalar_code.h"
#include "codec/weights.h"

namespace karat::codec {
namespace {

constexpr int kSubElems = 32;
constexpr int kScaleBound = 32;
// A positive step takes values up to 113 at least, a negative one up to 127: both ends of the range
// fit with the smaller.
constexpr float kLevelMax = 113;

// The nibble of each level: levels lie 9 apart at least, so the cell names it.
uint8_t nibble_of(Code level) {
  const auto at = std::lower_bound(kIq4Levels.begin(), kIq4Levels.end(), level);
  return static_cast<uint8_t>(at - kIq4Levels.begin());
}

void pack_levels(const Code* codes, uint8_t* q) { pack_nibbles(codes, kSubElems, q, nibble_of); }

void unpack_levels(const uint8_t* q, Code* codes) {
  unpack_nibbles(q, kSubElems, codes, [](uint8_t nibble) { return Code{kIq4Levels[nibble]}; });
}

void round_level(float step, float x, Code* code, float* value) {
  const float level = step != 0 ? nearest_level(iq4_book(), x * (1.0F / step)) : 1.0F;
  *code = static_cast<Code>(level);
  *value = step * level;
}

class IQ4NL final : public Codec {
 public:
  IQ4NL() : Codec(tensor::DType::iq4_nl, kSubElems, 1, base::kF16Max * kLevelMax) {}

  void weigh(std::span<const float> x, std::span<const float> importance,
             std::span<float> w) const override {
    weigh_by_size(2, kSubElems, x, importance, w);
  }

  Grid search_grid(const float* x, const float* w) const override {
    return search_codebook_single(iq4_book(), {x, w, 1, kSubElems});
  }

  void round(const Grid& grid, int, const float* x, const float*, Code* codes,
             float* values) const override {
    round_level(grid.step[0], *x, codes, values);
  }

  void pack(const Grid& grid, const Code* codes, std::byte* bytes) const override {
    BlockIQ4NL block;
    block.d = grid.d;
    pack_levels(codes, block.q);
    std::memcpy(bytes, &block, sizeof block);
  }

  void unpack(const std::byte* bytes, Grid& grid, Code* codes) const override {
    BlockIQ4NL block;
    std::memcpy(&block, bytes, sizeof block);
    grid = {};
    grid.d = block.d;
    grid.step[0] = base::f16_to_f32(block.d);
    unpack_levels(block.q, codes);
  }

  std::optional<int64_t> find_bad_block(std::span<const std::byte> bytes) const override {
    return find_block<BlockIQ4NL>(bytes, [](const BlockIQ4NL& b) { return half_is_finite(b.d); });
  }
};

class IQ4XS final : public Codec {
  static constexpr int kElems = 256;
  static constexpr int kSubs = kElems / kSubElems;

 public:
  IQ4XS()
      : Codec(tensor::DType::iq4_xs, kSubElems, 1, base::kF16Max * (kScaleBound - 1) * kLevelMax) {}

  void weigh(std::span<const float> x, std::span<const float> importance,
             std::span<float> w) const override {
    weigh_by_size(2, kElems, x, importance, w);
  }

  Grid search_grid(const float* x, const float* w) const override {
    return search_codebook(iq4_book(), {x, w, kSubs, kSubElems}, kScaleBound);
  }

  void round(const Grid& grid, int index, const float* x, const float*, Code* codes,
             float* values) const override {
    round_level(grid.step[static_cast<size_t>(index / kSubElems)], *x, codes, values);
  }

  void pack(const Grid& grid, const Code* codes, std::byte* bytes) const override {
    BlockIQ4XS block = {};
    block.d = grid.d;
    for (size_t s = 0; s < kSubs; ++s) {
      const unsigned scale = static_cast<unsigned>(grid.scale[s] + kScaleBound);
      uint8_t& low = block.scales_l[s / 2];
      low = static_cast<uint8_t>(low | (scale & 15U) << 4 * (s % 2));
      block.scales_h = static_cast<uint16_t>(block.scales_h | (scale >> 4) << 2 * s);
      pack_levels(codes + s * kSubElems, block.q + s * kSubElems / 2);
    }
    std::memcpy(bytes, &block, sizeof block);
  }

  void unpack(const std::byte* bytes, Grid& grid, Code* codes) const override {
    BlockIQ4XS block;
    std::memcpy(&block, bytes, sizeof block);
    grid = {};
    grid.d = block.d;
    const float d = base::f16_to_f32(block.d);
    for (size_t s = 0; s < kSubs; ++s) {
      const int low = block.scales_l[s / 2] >> 4 * (s % 2) & 15;
      const int high = block.scales_h >> 2 * s & 3;
      grid.scale[s] = static_cast<int16_t>((low | high << 4) - kScaleBound);
      grid.step[s] = d * static_cast<float>(grid.scale[s]);
      unpack_levels(block.q + s * kSubElems / 2, codes + s * kSubElems);
    }
  }

  std::optional<int64_t> find_bad_block(std::span<const std::byte> bytes) const override {
    return find_block<BlockIQ4XS>(bytes, [](const BlockIQ4XS& b) { return half_is_finite(b.d); });
  }
};

}  // namespace

const Codec& iq4_nl_codec() {
  static const IQ4NL codec;
  return codec;
}

const Codec& iq4_xs_codec() {
  static const IQ4XS codec;
  return codec;
}

}  // namespace karat::codec
