// TQ1_0 and TQ2_0: 256 codes of -1, 0 and 1 under one half. TQ1_0 packs five of them into a byte as
// a fraction in base three, TQ2_0 four as two bits each.
#include "base/half.h"
#include "codec/blocks.h"
#include "codec/breakpoints.h"
#include "codec/formats.h"
#include "codec/scalar_code.h"

namespace karat::codec {
namespace {

constexpr int kElems = 256;

// What the two formats share; Bits lays out the codes.
template <class Bits>
class Ternary final : public ScalarCodec {
  using Block = typename Bits::Block;

 public:
  Ternary() : ScalarCodec(Bits::kType, kElems, -1, 1, base::kF16Max) {}

  Grid search_grid(const float* x, const float* w) const override {
    Grid grid;
    grid.d = search_breakpoints(x, w, kElems, -1, 1);
    grid.step[0] = base::f16_to_f32(grid.d);
    return grid;
  }

  void pack(const Grid& grid, const Code* codes, std::byte* bytes) const override {
    Block block = {};
    block.d = grid.d;
    Bits::pack(codes, block);
    std::memcpy(bytes, &block, sizeof block);
  }

  void unpack(const std::byte* bytes, Grid& grid, Code* codes) const override {
    Block block;
    std::memcpy(&block, bytes, sizeof block);
    grid = {};
    grid.d = block.d;
    grid.step[0] = base::f16_to_f32(block.d);
    Bits::unpack(block, codes);
  }

  std::optional<int64_t> find_bad_block(std::span<const std::byte> bytes) const override {
    return find_block<Block>(bytes, [](const Block& block) { return half_is_finite(block.d); });
  }
};

// The trits of a byte are the digits of byte / 256 in base three, first digit first: digit n is the
// integer part of 3 * frac(byte * 3^n / 256). The codes of `bytes` bytes: first the first trits of
// all, then the second ones, and so on.
struct TQ1Bits {
  using Block = BlockTQ1_0;
  static constexpr tensor::DType kType = tensor::DType::tq1_0;
  static constexpr int kTrits = 5;

  // The least byte at or above the fraction with these digits; missing trits are zeros.
  static void pack_trits(const Code* codes, int bytes, int trits, uint8_t* q) {
    for (int m = 0; m < bytes; ++m) {
      int number = 0;
      for (int n = 0; n < kTrits; ++n)
        number = 3 * number + (n < trits ? codes[n * bytes + m] + 1 : 0);
      q[m] = static_cast<uint8_t>((number * 256 + 242) / 243);
    }
  }
  static void unpack_trits(const uint8_t* q, int bytes, int trits, Code* codes) {
    for (int m = 0; m < bytes; ++m) {
      uint8_t fraction = q[m];
      for (int n = 0; n < trits; ++n) {
        codes[n * bytes + m] = (fraction * 3 >> 8) - 1;
        fraction = static_cast<uint8_t>(fraction * 3);
      }
    }
  }
  // 32 bytes of five, 16 of five, four of four.
  static void pack(const Code* codes, Block& block) {
    pack_trits(codes, 32, kTrits, block.q);
    pack_trits(codes + 160, 16, kTrits, block.q + 32);
    pack_trits(codes + 240, 4, 4, block.qh);
  }
  static void unpack(const Block& block, Code* codes) {
    unpack_trits(block.q, 32, kTrits, codes);
    unpack_trits(block.q + 32, 16, kTrits, codes + 160);
    unpack_trits(block.qh, 4, 4, codes + 240);
  }
};

struct TQ2Bits {
  using Block = BlockTQ2_0;
  static constexpr tensor::DType kType = tensor::DType::tq2_0;

  static void pack(const Code* codes, Block& block) {
    for (int i = 0; i < kElems; ++i) {
      uint8_t& byte = block.q[32 * (i / 128) + i % 32];
      const unsigned trit = static_cast<unsigned>(codes[i] + 1);
      byte = static_cast<uint8_t>(byte | trit << 2 * (i % 128 / 32));
    }
  }
  static void unpack(const Block& block, Code* codes) {
    for (int i = 0; i < kElems; ++i) {
      codes[i] = (block.q[32 * (i / 128) + i % 32] >> 2 * (i % 128 / 32) & 3) - 1;
    }
  }
};

}  // namespace

const Codec& tq1_0_codec() {
  static const Ternary<TQ1Bits> codec;
  return codec;
}

const Codec& tq2_0_codec() {
  static const Ternary<TQ2Bits> codec;
  return codec;
}

}  // namespace karat::codec
