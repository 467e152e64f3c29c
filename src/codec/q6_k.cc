// Q6_K: 256 signed 6-bit codes, sixteen sub-blocks with a signed byte as scale under one half.
#include "base/half.h"
#include "codec/blocks.h"
#include "codec/formats.h"
#include "codec/scalar_code.h"
#include "codec/search.h"
#include "codec/weights.h"

namespace karat::codec {
namespace {

constexpr int kElems = 256;
constexpr int kSubs = 16;
constexpr int kCodeBound = 32;

class Q6K final : public ScalarCodec {
 public:
  // The narrow side: scale and code both at their positive end.
  Q6K()
      : ScalarCodec(tensor::DType::q6_k, kElems / kSubs, -kCodeBound, kCodeBound - 1,
                    base::kF16Max * 127 * 31) {}

  void weigh(std::span<const float> x, std::span<const float> importance,
             std::span<float> w) const override {
    codec::weigh(WeightRule::importance, x, importance, w);
  }

  Grid search_grid(const float* x, const float* w) const override {
    return search_symmetric({x, w, kSubs, kElems / kSubs}, kCodeBound, 128);
  }

  void pack(const Grid& grid, const Code* codes, std::byte* bytes) const override {
    BlockQ6K block = {};
    block.d = grid.d;
    for (size_t s = 0; s < kSubs; ++s) block.scales[s] = static_cast<int8_t>(grid.scale[s]);
    for (int i = 0; i < kElems; ++i) {
      const unsigned code = static_cast<unsigned>(codes[i] + kCodeBound);
      const Place at = place(i);
      block.ql[at.low] = static_cast<uint8_t>(block.ql[at.low] | (code & 15U) << at.low_shift);
      block.qh[at.high] = static_cast<uint8_t>(block.qh[at.high] | (code >> 4) << at.high_shift);
    }
    std::memcpy(bytes, &block, sizeof block);
  }

  void unpack(const std::byte* bytes, Grid& grid, Code* codes) const override {
    BlockQ6K block;
    std::memcpy(&block, bytes, sizeof block);
    grid = {};
    grid.d = block.d;
    const float d = base::f16_to_f32(block.d);
    for (size_t s = 0; s < kSubs; ++s) {
      grid.scale[s] = block.scales[s];
      grid.step[s] = d * static_cast<float>(block.scales[s]);
    }
    for (int i = 0; i < kElems; ++i) {
      const Place at = place(i);
      const int low = block.ql[at.low] >> at.low_shift & 15;
      const int high = block.qh[at.high] >> at.high_shift & 3;
      codes[i] = (low | high << 4) - kCodeBound;
    }
  }

  std::optional<int64_t> find_bad_block(std::span<const std::byte> bytes) const override {
    return find_block<BlockQ6K>(bytes, [](const BlockQ6K& b) { return half_is_finite(b.d); });
  }

 private:
  // Where the two parts of element i's code are: byte and shift.
  struct Place {
    int low, low_shift, high, high_shift;
  };
  static Place place(int i) {
    const int half = i / 128;
    const int r = i % 128;
    return {64 * half + r % 64, r >= 64 ? 4 : 0, 32 * half + r % 32, 2 * (r / 32)};
  }
};

}  // namespace

const Codec& q6_k_codec() {
  static const Q6K codec;
  return codec;
}

}  // namespace karat::codec
