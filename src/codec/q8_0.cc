// Q8_0: 32 signed bytes under one half.
#include "base/half.h"
#include "codec/blocks.h"
#include "codec/formats.h"
#include "codec/scalar_code.h"
#include "codec/search.h"
#include "codec/weights.h"

namespace karat::codec {
namespace {

class Q8_0 final : public ScalarCodec {
 public:
  Q8_0() : ScalarCodec(tensor::DType::q8_0, 32, -128, 127, base::kF16Max * 127) {}

  void weigh(std::span<const float> x, std::span<const float> importance,
             std::span<float> w) const override {
    codec::weigh(WeightRule::importance, x, importance, w);
  }

  Grid search_grid(const float* x, const float* w) const override {
    return search_single({x, w, 1, 32}, 128);
  }

  void pack(const Grid& grid, const Code* codes, std::byte* bytes) const override {
    BlockQ8_0 block;
    block.d = grid.d;
    for (int i = 0; i < 32; ++i) block.q[i] = static_cast<int8_t>(codes[i]);
    std::memcpy(bytes, &block, sizeof block);
  }

  void unpack(const std::byte* bytes, Grid& grid, Code* codes) const override {
    BlockQ8_0 block;
    std::memcpy(&block, bytes, sizeof block);
    grid = {};
    grid.d = block.d;
    grid.step[0] = base::f16_to_f32(block.d);
    for (int i = 0; i < 32; ++i) codes[i] = block.q[i];
  }

  std::optional<int64_t> find_bad_block(std::span<const std::byte> bytes) const override {
    return find_block<BlockQ8_0>(bytes, [](const BlockQ8_0& b) { return half_is_finite(b.d); });
  }
};

}  // namespace

const Codec& q8_0_codec() {
  static const Q8_0 codec;
  return codec;
}

}  // namespace karat::codec
