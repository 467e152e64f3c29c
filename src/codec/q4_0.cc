// Q4_0 and Q5_0: 32 signed codes of four or five bits under one half.
#include <array>

#include "base/half.h"
#include "codec/blocks.h"
#include "codec/formats.h"
#include "codec/nibbles.h"
#include "codec/scalar_code.h"
#include "codec/search.h"
#include "codec/weights.h"

namespace karat::codec {
namespace {

constexpr int kElems = 32;

// What the two formats do not share.
struct Q4Bits {
  using Block = BlockQ4_0;
  static constexpr tensor::DType kType = tensor::DType::q4_0;
  static constexpr Code kCodeBound = 8;
  static void pack_high(const std::array<Code, kElems>&, Block&) {}
  static void unpack_high(const Block&, Code*) {}
};

struct Q5Bits {
  using Block = BlockQ5_0;
  static constexpr tensor::DType kType = tensor::DType::q5_0;
  static constexpr Code kCodeBound = 16;
  static void pack_high(const std::array<Code, kElems>& stored, Block& block) {
    pack_fifth_bits(stored.data(), block.qh);
  }
  static void unpack_high(const Block& block, Code* stored) { unpack_fifth_bits(block.qh, stored); }
};

template <class Bits>
class Symmetric final : public ScalarCodec {
  using Block = typename Bits::Block;
  static constexpr Code kBound = Bits::kCodeBound;

 public:
  Symmetric()
      : ScalarCodec(Bits::kType, kElems, -kBound, kBound - 1, base::kF16Max * (kBound - 1)) {}

  void weigh(std::span<const float> x, std::span<const float> importance,
             std::span<float> w) const override {
    weigh_by_size(1, x.size(), x, importance, w);
  }

  Grid search_grid(const float* x, const float* w) const override {
    return search_single({x, w, 1, kElems}, kBound);
  }

  // Stored without a sign.
  void pack(const Grid& grid, const Code* codes, std::byte* bytes) const override {
    Block block = {};
    block.d = grid.d;
    std::array<Code, kElems> stored;
    for (size_t i = 0; i < kElems; ++i) stored[i] = codes[i] + kBound;
    pack_nibbles(stored.data(), kElems, block.q, low_nibble);
    Bits::pack_high(stored, block);
    std::memcpy(bytes, &block, sizeof block);
  }

  void unpack(const std::byte* bytes, Grid& grid, Code* codes) const override {
    Block block;
    std::memcpy(&block, bytes, sizeof block);
    grid = {};
    grid.d = block.d;
    grid.step[0] = base::f16_to_f32(block.d);
    unpack_nibbles(block.q, kElems, codes, code_of_nibble);
    Bits::unpack_high(block, codes);
    for (int i = 0; i < kElems; ++i) codes[i] -= kBound;
  }

  std::optional<int64_t> find_bad_block(std::span<const std::byte> bytes) const override {
    return find_block<Block>(bytes, [](const Block& block) { return half_is_finite(block.d); });
  }
};

}  // namespace

const Codec& q4_0_codec() {
  static const Symmetric<Q4Bits> codec;
  return codec;
}

const Codec& q5_0_codec() {
  static const Symmetric<Q5Bits> codec;
  return codec;
}

}  // namespace karat::codec
