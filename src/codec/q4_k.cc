// Q4_K and Q5_K: 256 unsigned codes, eight sub-blocks with 6-bit scale and min under two halves.
// The two differ in the fifth bit of the codes.
#include "base/half.h"
#include "codec/blocks.h"
#include "codec/formats.h"
#include "codec/scalar_code.h"
#include "codec/search.h"
#include "codec/weights.h"

namespace karat::codec {
namespace {

constexpr int kElems = 256;
constexpr int kSubs = 8;
constexpr int kIntegerMax = 63;

// The inverse of scale_min() for all eight sub-blocks.
void pack_scale_mins(const Grid& grid, uint8_t* scales) {
  for (size_t j = 0; j < kSubs; ++j) {
    const unsigned scale = static_cast<unsigned>(grid.scale[j]);
    const unsigned min = static_cast<unsigned>(grid.min[j]);
    if (j < 4) {
      scales[j] = static_cast<uint8_t>(scale);
      scales[j + 4] = static_cast<uint8_t>(min);
    } else {
      scales[j + 4] = static_cast<uint8_t>((scale & 15U) | (min & 15U) << 4);
      scales[j - 4] = static_cast<uint8_t>(scales[j - 4] | (scale >> 4) << 6);
      scales[j] = static_cast<uint8_t>(scales[j] | (min >> 4) << 6);
    }
  }
}

template <class Block>
Grid read_grid(const Block& block) {
  Grid grid;
  grid.d = block.d;
  grid.dmin = block.dmin;
  const float d = base::f16_to_f32(block.d);
  const float dmin = base::f16_to_f32(block.dmin);
  for (size_t j = 0; j < kSubs; ++j) {
    const ScaleMin pair = scale_min(block.scales, static_cast<int>(j));
    grid.scale[j] = static_cast<int16_t>(pair.scale);
    grid.min[j] = static_cast<int16_t>(pair.min);
    grid.step[j] = d * static_cast<float>(pair.scale);
    grid.offset[j] = dmin * static_cast<float>(pair.min);
  }
  return grid;
}

void pack_nibbles(const Code* codes, uint8_t* q) {
  for (int i = 0; i < kElems / 2; ++i) {
    const Code* pair = codes + 64 * (i / 32) + i % 32;
    q[i] = static_cast<uint8_t>((pair[0] & 15) | (pair[32] & 15) << 4);
  }
}

void unpack_nibbles(const uint8_t* q, Code* codes) {
  for (int i = 0; i < kElems / 2; ++i) {
    Code* pair = codes + 64 * (i / 32) + i % 32;
    pair[0] = q[i] & 15;
    pair[32] = q[i] >> 4;
  }
}

// What the two formats do not share.
struct Q4KBits {
  using Block = BlockQ4K;
  static constexpr tensor::DType kType = tensor::DType::q4_k;
  static constexpr Code kCodeMax = 15;
  static void pack_high(const Code*, Block&) {}
  static void unpack_high(const Block&, Code*) {}
};

struct Q5KBits {
  using Block = BlockQ5K;
  static constexpr tensor::DType kType = tensor::DType::q5_k;
  static constexpr Code kCodeMax = 31;
  static void pack_high(const Code* codes, Block& block) {
    for (int i = 0; i < kElems; ++i) {
      block.qh[i % 32] = static_cast<uint8_t>(block.qh[i % 32] | (codes[i] >> 4) << (i / 32));
    }
  }
  static void unpack_high(const Block& block, Code* codes) {
    for (int i = 0; i < kElems; ++i) codes[i] |= (block.qh[i % 32] >> (i / 32) & 1) << 4;
  }
};

template <class Bits>
class AffineKCodec final : public ScalarCodec {
  using Block = typename Bits::Block;

 public:
  // The narrow side is the negative one, dmin * 63.
  AffineKCodec()
      : ScalarCodec(Bits::kType, kElems / kSubs, 0, Bits::kCodeMax, base::kF16Max * kIntegerMax) {}

  void weigh(std::span<const float> x, std::span<const float> importance,
             std::span<float> w) const override {
    codec::weigh(WeightRule::magnitude, x, importance, w);
  }

  Grid search_grid(const float* x, const float* w) const override {
    return search_affine({x, w, kSubs, kElems / kSubs}, Bits::kCodeMax, kIntegerMax);
  }

  void pack(const Grid& grid, const Code* codes, std::byte* bytes) const override {
    Block block = {};
    block.d = grid.d;
    block.dmin = grid.dmin;
    pack_scale_mins(grid, block.scales);
    pack_nibbles(codes, block.q);
    Bits::pack_high(codes, block);
    std::memcpy(bytes, &block, sizeof block);
  }

  void unpack(const std::byte* bytes, Grid& grid, Code* codes) const override {
    Block block;
    std::memcpy(&block, bytes, sizeof block);
    grid = read_grid(block);
    unpack_nibbles(block.q, codes);
    Bits::unpack_high(block, codes);
  }

  std::optional<int64_t> find_bad_block(std::span<const std::byte> bytes) const override {
    return find_block<Block>(bytes, [](const Block& block) {
      return half_is_finite(block.d) && half_is_finite(block.dmin);
    });
  }
};

}  // namespace

const Codec& q4_k_codec() {
  static const AffineKCodec<Q4KBits> codec;
  return codec;
}

const Codec& q5_k_codec() {
  static const AffineKCodec<Q5KBits> codec;
  return codec;
}

}  // namespace karat::codec
