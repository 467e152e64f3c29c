// IQ1_S and IQ1_M: octets on a list of 2048 points of three signed levels, shifted by delta.
#include "codec/formats.h"
#include "codec/iq_blocks.h"
#include "codec/lattice.h"
#include "codec/lattice_grids.h"

namespace karat::codec {
namespace {

// -1, 0 and 1, plus the positive delta of an eighth, in eighths.
constexpr std::array<int8_t, 8> kLevels = {-7, 1, 9};
constexpr float kUnit = 0.125F;

struct IQ1S {
  using Block = BlockIQ1S;
  static LatticeFormat format() {
    return {.type = tensor::DType::iq1_s,
            .points = kGrid1x2048,
            .point_coords = 8,
            .top = 2,
            .level = kLevels,
            .state = OctetState::sub_block_delta,
            .sub_elems = 32,
            .scale_max = 7,
            .unit = kUnit};
  }
  static uint16_t d(const Block& block) { return block.d; }
  static void write(const Grid& grid, const LatticeBlock& content, Block& block) {
    block.d = grid.d;
    for (size_t k = 0; k < 8; ++k) {
      unsigned state =
          static_cast<unsigned>(grid.scale[k]) << 12 | static_cast<unsigned>(grid.min[k]) << 15;
      for (size_t l = 0; l < 4; ++l) {
        const unsigned index = content.index[4 * k + l][0];
        block.low[4 * k + l] = static_cast<uint8_t>(index);
        state |= (index >> 8) << (3 * l);
      }
      block.state[k] = static_cast<uint16_t>(state);
    }
  }
  static void read(const Block& block, Grid& grid, LatticeBlock& content) {
    grid.d = block.d;
    for (size_t k = 0; k < 8; ++k) {
      const int state = block.state[k];
      grid.scale[k] = static_cast<int16_t>(state >> 12 & 7);
      grid.min[k] = static_cast<int16_t>(state >> 15);
      for (size_t l = 0; l < 4; ++l) {
        const int high = state >> (3 * l) & 7;
        content.index[4 * k + l][0] = static_cast<uint16_t>(block.low[4 * k + l] | high << 8);
        content.state[4 * k + l] = static_cast<uint8_t>(grid.min[k]);
      }
    }
  }
};

struct IQ1M {
  using Block = BlockIQ1M;
  static LatticeFormat format() {
    return {.type = tensor::DType::iq1_m,
            .points = kGrid1x2048,
            .point_coords = 8,
            .top = 2,
            .level = kLevels,
            .state = OctetState::delta,
            .sub_elems = 16,
            .scale_max = 7,
            .unit = kUnit};
  }
  static uint16_t d(const Block& block) {
    unsigned bits = 0;
    for (unsigned i = 0; i < 4; ++i) bits |= static_cast<unsigned>(block.scales[i] >> 12) << 4 * i;
    return static_cast<uint16_t>(bits);
  }
  static void write(const Grid& grid, const LatticeBlock& content, Block& block) {
    for (size_t i = 0; i < 4; ++i) {
      unsigned word = static_cast<unsigned>(grid.d >> 4 * i & 15) << 12;
      for (size_t j = 0; j < 4; ++j) word |= static_cast<unsigned>(grid.scale[4 * i + j]) << 3 * j;
      block.scales[i] = static_cast<uint16_t>(word);
    }
    for (size_t o = 0; o < kOctets; ++o) {
      const unsigned index = content.index[o][0];
      const unsigned nibble = index >> 8 | static_cast<unsigned>(content.state[o]) << 3;
      block.low[o] = static_cast<uint8_t>(index);
      block.high[o / 2] = static_cast<uint8_t>(block.high[o / 2] | nibble << 4 * (o % 2));
    }
  }
  static void read(const Block& block, Grid& grid, LatticeBlock& content) {
    grid.d = d(block);
    for (size_t j = 0; j < 16; ++j) {
      grid.scale[j] = static_cast<int16_t>(block.scales[j / 4] >> 3 * (j % 4) & 7);
    }
    for (size_t o = 0; o < kOctets; ++o) {
      const int nibble = block.high[o / 2] >> 4 * (o % 2) & 15;
      content.index[o][0] = static_cast<uint16_t>(block.low[o] | (nibble & 7) << 8);
      content.state[o] = static_cast<uint8_t>(nibble >> 3);
    }
  }
};

}  // namespace

const Codec& iq1_s_codec() {
  static const LatticeCodecOf<IQ1S> codec;
  return codec;
}

const Codec& iq1_m_codec() {
  static const LatticeCodecOf<IQ1M> codec;
  return codec;
}

}  // namespace karat::codec
