// Q2_K: 256 unsigned 2-bit codes, sixteen sub-blocks with 4-bit scale and min under two halves.
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
constexpr int kCodeMax = 3;
constexpr int kIntegerMax = 15;

class Q2K final : public ScalarCodec {
 public:
  // The narrow side is the negative one, dmin * 15.
  Q2K()
      : ScalarCodec(tensor::DType::q2_k, kElems / kSubs, 0, kCodeMax, base::kF16Max * kIntegerMax) {
  }

  void weigh(std::span<const float> x, std::span<const float> importance,
             std::span<float> w) const override {
    weigh_by_size(1, kElems, x, importance, w);
  }

  Grid search_grid(const float* x, const float* w) const override {
    return search_affine({x, w, kSubs, kElems / kSubs}, kCodeMax, kIntegerMax);
  }

  void pack(const Grid& grid, const Code* codes, std::byte* bytes) const override {
    BlockQ2K block = {};
    block.d = grid.d;
    block.dmin = grid.dmin;
    for (size_t s = 0; s < kSubs; ++s) {
      block.scales[s] = static_cast<uint8_t>(grid.scale[s] | grid.min[s] << 4);
    }
    pack_two_bits(codes, block.q);
    std::memcpy(bytes, &block, sizeof block);
  }

  void unpack(const std::byte* bytes, Grid& grid, Code* codes) const override {
    BlockQ2K block;
    std::memcpy(&block, bytes, sizeof block);
    grid = {};
    grid.d = block.d;
    grid.dmin = block.dmin;
    const float d = base::f16_to_f32(block.d);
    const float dmin = base::f16_to_f32(block.dmin);
    for (size_t s = 0; s < kSubs; ++s) {
      grid.scale[s] = block.scales[s] & 15;
      grid.min[s] = block.scales[s] >> 4;
      grid.step[s] = d * static_cast<float>(grid.scale[s]);
      grid.offset[s] = dmin * static_cast<float>(grid.min[s]);
    }
    unpack_two_bits(block.q, codes);
  }

  std::optional<int64_t> find_bad_block(std::span<const std::byte> bytes) const override {
    return find_block<BlockQ2K>(bytes, [](const BlockQ2K& block) {
      return half_is_finite(block.d) && half_is_finite(block.dmin);
    });
  }
};

}  // namespace

const Codec& q2_k_codec() {
  static const Q2K codec;
  return codec;
}

}  // namespace karat::codec
