// Q4_1 and Q5_1: 32 codes of four or five bits, a half as step and a half as least value.
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
  using Block = BlockQ4_1;
  static constexpr tensor::DType kType = tensor::DType::q4_1;
  static constexpr Code kCodeMax = 15;
  static void pack_high(const Code*, Block&) {}
  static void unpack_high(const Block&, Code*) {}
};

struct Q5Bits {
  using Block = BlockQ5_1;
  static constexpr tensor::DType kType = tensor::DType::q5_1;
  static constexpr Code kCodeMax = 31;
  static void pack_high(const Code* codes, Block& block) { pack_fifth_bits(codes, block.qh); }
  static void unpack_high(const Block& block, Code* codes) { unpack_fifth_bits(block.qh, codes); }
};

template <class Bits>
class Affine final : public ScalarCodec {
  using Block = typename Bits::Block;

 public:
  // The narrow side is the negative one, m alone.
  Affine() : ScalarCodec(Bits::kType, kElems, 0, Bits::kCodeMax, base::kF16Max) {}

  void weigh(std::span<const float> x, std::span<const float> importance,
             std::span<float> w) const override {
    weigh_by_size(1, x.size(), x, importance, w);
  }

  Grid search_grid(const float* x, const float* w) const override {
    return search_single_affine({x, w, 1, kElems}, Bits::kCodeMax);
  }

  void pack(const Grid& grid, const Code* codes, std::byte* bytes) const override {
    Block block = {};
    block.d = grid.d;
    block.m = grid.dmin;
    pack_nibbles(codes, kElems, block.q, low_nibble);
    Bits::pack_high(codes, block);
    std::memcpy(bytes, &block, sizeof block);
  }

  void unpack(const std::byte* bytes, Grid& grid, Code* codes) const override {
    Block block;
    std::memcpy(&block, bytes, sizeof block);
    grid = {};
    grid.d = block.d;
    grid.dmin = block.m;
    grid.step[0] = base::f16_to_f32(block.d);
    grid.offset[0] = -base::f16_to_f32(block.m);
    unpack_nibbles(block.q, kElems, codes, code_of_nibble);
    Bits::unpack_high(block, codes);
  }

  std::optional<int64_t> find_bad_block(std::span<const std::byte> bytes) const override {
    return find_block<Block>(bytes, [](const Block& block) {
      return half_is_finite(block.d) && half_is_finite(block.m);
    });
  }
};

}  // namespace

const Codec& q4_1_codec() {
  static const Affine<Q4Bits> codec;
  return codec;
}

const Codec& q5_1_codec() {
  static const Affine<Q5Bits> codec;
  return codec;
}

}  // namespace karat::codec
