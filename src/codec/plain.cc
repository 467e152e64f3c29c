// F32, F16 and BF16: one element is one block, the code is the stored bit pattern, no grid.
#include <bit>
#include <cstring>
#include <limits>

#include "base/error.h"
#include "base/half.h"
#include "codec/formats.h"

namespace karat::codec {
namespace {

struct F32Bits {
  using Stored = uint32_t;
  static constexpr tensor::DType kType = tensor::DType::f32;
  static constexpr float kRangeMax = std::numeric_limits<float>::max();
  static Stored to_bits(float value) { return std::bit_cast<uint32_t>(value); }
  static float to_value(Stored bits) { return std::bit_cast<float>(bits); }
};

struct F16Bits {
  using Stored = uint16_t;
  static constexpr tensor::DType kType = tensor::DType::f16;
  // The largest f32 below the first value that rounds to infinity.
  static constexpr float kRangeMax =
      std::bit_cast<float>(std::bit_cast<uint32_t>(base::kF16Overflow) - 1);
  static Stored to_bits(float value) { return base::f32_to_f16(value); }
  static float to_value(Stored bits) { return base::f16_to_f32(bits); }
};

struct BF16Bits {
  using Stored = uint16_t;
  static constexpr tensor::DType kType = tensor::DType::bf16;
  // The largest f32 that rounds to a finite bf16 (0x7f7f): just below the tie with infinity.
  static constexpr float kRangeMax = std::bit_cast<float>(0x7f7f7fffU);
  static Stored to_bits(float value) { return base::f32_to_bf16(value); }
  static float to_value(Stored bits) { return base::bf16_to_f32(bits); }
};

template <class Bits>
class PlainCodec final : public Codec {
  using Stored = typename Bits::Stored;

 public:
  PlainCodec() : Codec(Bits::kType, 1, 1, Bits::kRangeMax) {}

  void decode(std::span<const std::byte> bytes, std::span<float> out) const override {
    CHECK(bytes.size() == out.size() * sizeof(Stored));
    for (size_t i = 0; i < out.size(); ++i) out[i] = Bits::to_value(load(bytes, i));
  }

  Grid search_grid(const float*, const float*) const override { return {}; }

  void round(const Grid&, int, const float* x, const float*, Code* codes,
             float* values) const override {
    const Stored bits = Bits::to_bits(*x);
    *codes = static_cast<Code>(bits);
    *values = Bits::to_value(bits);
  }

  void pack(const Grid&, const Code* codes, std::byte* block) const override {
    const Stored bits = static_cast<Stored>(*codes);
    std::memcpy(block, &bits, sizeof bits);
  }

  void unpack(const std::byte* block, Grid& grid, Code* codes) const override {
    grid = {};
    Stored bits;
    std::memcpy(&bits, block, sizeof bits);
    *codes = static_cast<Code>(bits);
  }

  std::optional<int64_t> find_bad_block(std::span<const std::byte> bytes) const override {
    for (size_t i = 0; i < bytes.size() / sizeof(Stored); ++i) {
      const uint32_t bits = std::bit_cast<uint32_t>(Bits::to_value(load(bytes, i)));
      if ((bits & 0x7f800000U) == 0x7f800000U) return static_cast<int64_t>(i);
    }
    return std::nullopt;
  }

 private:
  static Stored load(std::span<const std::byte> bytes, size_t i) {
    Stored bits;
    std::memcpy(&bits, &bytes[i * sizeof(Stored)], sizeof bits);
    return bits;
  }

  void encode_checked(std::span<const float> x, std::span<const float>,
                      std::span<std::byte> out) const override {
    for (size_t i = 0; i < x.size(); ++i) {
      const Stored bits = Bits::to_bits(x[i]);
      std::memcpy(&out[i * sizeof(Stored)], &bits, sizeof bits);
    }
  }
};

}  // namespace

const Codec& f32_codec() {
  static const PlainCodec<F32Bits> codec;
  return codec;
}

const Codec& f16_codec() {
  static const PlainCodec<F16Bits> codec;
  return codec;
}

const Codec& bf16_codec() {
  static const PlainCodec<BF16Bits> codec;
  return codec;
}

}  // namespace karat::codec
