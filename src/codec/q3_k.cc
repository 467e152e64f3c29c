// Q3_K: 256 signed 3-bit codes, sixteen sub-blocks with a signed 6-bit scale under one half.
#include "base/half.h"
#include "codec/blocks.h"
#include "codec/formats.h"
#include "codec/nibbles.h"
#include "codec/scalar_code.h"
#include "codec/search.h"
#include "codec/weights.h"

namespace karat::codec {
namespace {

constexpr int kElems = 256;
constexpr int kSubs = 16;
constexpr int kCodeBound = 4;
constexpr int kIntegerBound = 32;

class Q3K final : public ScalarCodec {
 public:
  // The narrow side: scale and code both at their positive end.
  Q3K()
      : ScalarCodec(tensor::DType::q3_k, kElems / kSubs, -kCodeBound, kCodeBound - 1,
                    base::kF16Max * (kIntegerBound - 1) * (kCodeBound - 1)) {}

  void weigh(std::span<const float> x, std::span<const float> importance,
             std::span<float> w) const override {
    weigh_by_size(2, kElems, x, importance, w);
  }

  Grid search_grid(const float* x, const float* w) const override {
    return search_symmetric({x, w, kSubs, kElems / kSubs}, kCodeBound, kIntegerBound);
  }

  void pack(const Grid& grid, const Code* codes, std::byte* bytes) const override {
    BlockQ3K block = {};
    block.d = grid.d;
    for (size_t s = 0; s < kSubs; ++s) {
      const unsigned scale = static_cast<unsigned>(grid.scale[s] + kIntegerBound);
      const size_t low = s % 8;
      const size_t high = 8 + s % 4;
      block.scales[low] = static_cast<uint8_t>(block.scales[low] | (scale & 15U) << (s / 8 * 4));
      block.scales[high] = static_cast<uint8_t>(block.scales[high] | (scale >> 4) << (s / 4 * 2));
    }
    pack_two_bits(codes, block.q);  // of code + 4 as of code
    for (int i = 0; i < kElems; ++i) {
      const int bit = codes[i] + kCodeBound >= 4;
      block.hmask[i % 32] = static_cast<uint8_t>(block.hmask[i % 32] | bit << (i / 32));
    }
    std::memcpy(bytes, &block, sizeof block);
  }

  void unpack(const std::byte* bytes, Grid& grid, Code* codes) const override {
    BlockQ3K block;
    std::memcpy(&block, bytes, sizeof block);
    grid = {};
    grid.d = block.d;
    const float d = base::f16_to_f32(block.d);
    for (size_t s = 0; s < kSubs; ++s) {
      const int low = block.scales[s % 8] >> (s / 8 * 4) & 15;
      const int high = block.scales[8 + s % 4] >> (s / 4 * 2) & 3;
      grid.scale[s] = static_cast<int16_t>((low | high << 4) - kIntegerBound);
      grid.step[s] = d * static_cast<float>(grid.scale[s]);
    }
    unpack_two_bits(block.q, codes);
    for (int i = 0; i < kElems; ++i) {
      if ((block.hmask[i % 32] >> (i / 32) & 1) == 0) codes[i] -= kCodeBound;
    }
  }

  std::optional<int64_t> find_bad_block(std::span<const std::byte> bytes) const override {
    return find_block<BlockQ3K>(bytes, [](const BlockQ3K& b) { return half_is_finite(b.d); });
  }
};

}  // namespace

const Codec& q3_k_codec() {
  static const Q3K codec;
  return codec;
}

}  // namespace karat::codec
