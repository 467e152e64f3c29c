// The lattice formats against the formulas of FORMATS.md 2.7, written here element by element over
// raw bytes. Every byte of a block takes all 256 values while the others are random, so each index,
// each pattern of signs and each scale is seen at each position.
#include "codec/lattice.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <vector>

#include "base/half.h"
#include "base/rng.h"
#include "codec/formats.h"
#include "codec/lattice_grids.h"

namespace karat::codec {
namespace {

using tensor::DType;
using Bytes = std::vector<uint8_t>;

unsigned u16_at(const Bytes& b, size_t at) { return b[at] | unsigned{b[at + 1]} << 8; }
unsigned u32_at(const Bytes& b, size_t at) { return u16_at(b, at) | u16_at(b, at + 2) << 16; }
float half_at(const Bytes& b, size_t at) {
  return base::f16_to_f32(static_cast<uint16_t>(u16_at(b, at)));
}
// Sign of element j under seven stored sign bits.
float sign7(unsigned bits, size_t j) {
  const unsigned bit = j < 7 ? bits >> j & 1 : static_cast<unsigned>(std::popcount(bits & 127) & 1);
  return bit != 0 ? -1.0F : 1.0F;
}
float sign8(unsigned bits, size_t j) { return (bits >> j & 1) != 0 ? -1.0F : 1.0F; }
unsigned two_bits(uint16_t point, size_t j) { return point >> 2 * j & 3; }
unsigned three_bits(uint16_t point, size_t j) { return point >> 3 * j & 7; }

constexpr float kMagnitudes[] = {8, 25, 43};

float value_iq2_xxs(const Bytes& b, size_t i) {
  const size_t k = i / 32;
  const size_t l = i % 32 / 8;
  const unsigned word = u32_at(b, 6 + 8 * k);
  const float scale = static_cast<float>(word >> 28);
  const float level = kMagnitudes[two_bits(kGrid2x256[b[2 + 8 * k + l]], i % 8)];
  return half_at(b, 0) * (0.5F + scale) * 0.25F * level * sign7(word >> 7 * l & 127, i % 8);
}

float nibble_scale(const Bytes& b, size_t at, size_t octet) {
  return static_cast<float>(b[at + octet / 4] >> 4 * (octet % 4 / 2) & 15);
}

float value_iq2_xs(const Bytes& b, size_t i) {
  const size_t o = i / 8;
  const unsigned word = u16_at(b, 2 + 2 * o);
  const float level = kMagnitudes[two_bits(kGrid2x512[word & 511], i % 8)];
  return half_at(b, 0) * (0.5F + nibble_scale(b, 66, o)) * 0.25F * level * sign7(word >> 9, i % 8);
}

float value_iq2_s(const Bytes& b, size_t i) {
  const size_t o = i / 8;
  const unsigned index = b[2 + o] | (b[66 + o / 4] >> 2 * (o % 4) & 3U) << 8;
  const float level = kMagnitudes[two_bits(kGrid2x1024[index], i % 8)];
  return half_at(b, 0) * (0.5F + nibble_scale(b, 74, o)) * 0.25F * level * sign8(b[34 + o], i % 8);
}

float value_iq3_xxs(const Bytes& b, size_t i) {
  constexpr float kLevels[] = {4, 12, 20, 28, 36, 44, 52, 62};
  const unsigned word = u32_at(b, 66 + 4 * (i / 32));
  const float scale = static_cast<float>(word >> 28);
  const float level = kLevels[three_bits(kGrid3x256[b[2 + i / 4]], i % 4)];
  return half_at(b, 0) * (0.5F + scale) * 0.5F * level *
         sign7(word >> 7 * (i % 32 / 8) & 127, i % 8);
}

float value_iq3_s(const Bytes& b, size_t i) {
  const size_t quad = i / 4;
  const unsigned index = b[2 + quad] | (b[66 + quad / 8] >> quad % 8 & 1U) << 8;
  const unsigned scale = b[106 + i / 64] >> 4 * (i / 32 % 2) & 15U;
  const float level = static_cast<float>(2 * three_bits(kGrid3x512[index], i % 4) + 1);
  return half_at(b, 0) * static_cast<float>(1 + 2 * scale) * level * sign8(b[74 + i / 8], i % 8);
}

float ternary(unsigned index, size_t j, bool negative_delta) {
  return static_cast<float>(two_bits(kGrid1x2048[index], j)) - 1 +
         (negative_delta ? -0.125F : 0.125F);
}

float value_iq1_s(const Bytes& b, size_t i) {
  const unsigned word = u16_at(b, 34 + 2 * (i / 32));
  const unsigned index = b[2 + i / 8] | (word >> 3 * (i % 32 / 8) & 7) << 8;
  const float scale = static_cast<float>(2 * (word >> 12 & 7) + 1);
  return half_at(b, 0) * scale * ternary(index, i % 8, (word & 0x8000) != 0);
}

float value_iq1_m(const Bytes& b, size_t i) {
  unsigned d = 0;
  for (size_t k = 0; k < 4; ++k) d |= (u16_at(b, 48 + 2 * k) >> 12) << 4 * k;
  const size_t o = i / 8;
  const unsigned nibble = b[32 + o / 2] >> 4 * (o % 2) & 15U;
  const unsigned index = b[o] | (nibble & 7) << 8;
  const unsigned scale = u16_at(b, 48 + 2 * (i / 64)) >> 3 * (i / 16 % 4) & 7;
  return base::f16_to_f32(static_cast<uint16_t>(d)) * static_cast<float>(2 * scale + 1) *
         ternary(index, i % 8, (nibble & 8) != 0);
}

struct Layout {
  const Codec& (*codec)();
  float (*value)(const Bytes&, size_t);
};
constexpr Layout kLayouts[] = {{iq2_xxs_codec, value_iq2_xxs}, {iq2_xs_codec, value_iq2_xs},
                               {iq2_s_codec, value_iq2_s},     {iq3_xxs_codec, value_iq3_xxs},
                               {iq3_s_codec, value_iq3_s},     {iq1_s_codec, value_iq1_s},
                               {iq1_m_codec, value_iq1_m}};

void check_block(const Codec& codec, const Layout& layout, const Bytes& raw) {
  const std::byte* bytes = reinterpret_cast<const std::byte*>(raw.data());
  std::vector<float> got(kBlockElemsMax);
  codec.decode({bytes, raw.size()}, got);
  for (size_t i = 0; i < got.size(); ++i) {
    const float want = layout.value(raw, i);
    if (std::isnan(want)) continue;  // NaN scales: any NaN
    ASSERT_EQ(std::bit_cast<uint32_t>(got[i]), std::bit_cast<uint32_t>(want))
        << codec.info().name << " element " << i;
  }
  Grid grid;
  std::vector<Code> codes(got.size());
  codec.unpack(bytes, grid, codes.data());
  Bytes packed(raw.size());
  codec.pack(grid, codes.data(), reinterpret_cast<std::byte*>(packed.data()));
  ASSERT_EQ(packed, raw) << codec.info().name;
}

TEST(Lattice, EveryByteMeansWhatTheFormatSays) {
  for (const Layout& layout : kLayouts) {
    const Codec& codec = layout.codec();
    base::Rng rng(1);
    Bytes raw(static_cast<size_t>(codec.block_bytes()));
    for (size_t at = 0; at < raw.size(); ++at) {
      for (uint8_t& byte : raw) byte = static_cast<uint8_t>(rng.next());
      for (int value = 0; value < 256; ++value) {
        raw[at] = static_cast<uint8_t>(value);
        ASSERT_NO_FATAL_FAILURE(check_block(codec, layout, raw));
      }
    }
  }
}

constexpr uint16_t kBadHalves[] = {0x7c00, 0xfc00, 0x7e00, 0x7c01, 0xffff};

TEST(Lattice, FindBadBlockSeesEveryNonFiniteScale) {
  for (const Layout& layout : kLayouts) {
    const Codec& codec = layout.codec();
    const size_t stride = static_cast<size_t>(codec.block_bytes());
    for (const uint16_t half : kBadHalves) {
      std::vector<std::byte> bytes(3 * stride, std::byte{0x11});
      EXPECT_EQ(codec.find_bad_block(bytes), std::nullopt);
      Grid grid;
      std::vector<Code> codes(kBlockElemsMax);
      codec.unpack(&bytes[stride], grid, codes.data());
      grid.d = half;
      codec.pack(grid, codes.data(), &bytes[stride]);
      EXPECT_EQ(codec.find_bad_block(bytes), 1) << codec.info().name;
    }
  }
}

// The nearest point to a point is itself, and to any other cell none is nearer.
TEST(Lattice, NearestPointOfEveryCell) {
  const LatticeFormat format = {.type = DType::iq3_s,
                                .points = kGrid3x512,
                                .point_coords = 4,
                                .top = 7,
                                .level = {1, 3, 5, 7, 9, 11, 13, 15},
                                .state = OctetState::signs,
                                .sub_elems = 32,
                                .scale_max = 15,
                                .unit = 1.0F};
  const Lattice lattice(format);
  for (size_t i = 0; i < kGrid3x512.size(); ++i) EXPECT_EQ(lattice.nearest(kGrid3x512[i]), i);
  const auto distance = [](uint16_t a, uint16_t b) {
    int sum = 0;
    for (size_t j = 0; j < 4; ++j) {
      const int difference =
          static_cast<int>(three_bits(a, j)) - static_cast<int>(three_bits(b, j));
      sum += difference * difference;
    }
    return sum;
  };
  for (uint16_t cell = 0; cell < 4096; ++cell) {
    int least = std::numeric_limits<int>::max();
    for (const uint16_t point : kGrid3x512) least = std::min(least, distance(cell, point));
    EXPECT_EQ(distance(cell, lattice.point(lattice.nearest(cell))), least);
  }
}

}  // namespace
}  // namespace karat::codec
