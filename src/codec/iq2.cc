// IQ2_XXS, IQ2_XS and IQ2_S: octets on lists of 256, 512 and 1024 points of three magnitudes.
#include <bit>

#include "codec/formats.h"
#include "codec/iq_blocks.h"
#include "codec/lattice.h"
#include "codec/lattice_grids.h"
#include "codec/sign_words.h"

namespace karat::codec {
namespace {

constexpr std::array<int8_t, 8> kLevels = {8, 25, 43};
constexpr float kUnit = 0.125F;

// Of two octets per scale: the nibbles of IQ2_XS and IQ2_S.
void write_scales(const Grid& grid, uint8_t* scales) {
  for (size_t j = 0; j < 8; ++j) {
    scales[j] = static_cast<uint8_t>(grid.scale[2 * j] | grid.scale[2 * j + 1] << 4);
  }
}

void read_scales(const uint8_t* scales, Grid& grid) {
  for (size_t j = 0; j < 8; ++j) {
    grid.scale[2 * j] = scales[j] & 15;
    grid.scale[2 * j + 1] = scales[j] >> 4;
  }
}

struct IQ2XXS {
  using Block = BlockIQ2XXS;
  static LatticeFormat format() {
    return {tensor::DType::iq2_xxs, kGrid2x256, 8,  2,    kLevels,
            OctetState::even_signs, 32,         15, kUnit};
  }
  static uint16_t d(const Block& block) { return block.d; }
  static void write(const Grid& grid, const LatticeBlock& content, Block& block) {
    block.d = grid.d;
    for (size_t k = 0; k < 8; ++k) {
      for (size_t l = 0; l < 4; ++l) {
        block.words[8 * k + l] = static_cast<uint8_t>(content.index[4 * k + l][0]);
      }
      write_sign_word(&content.state[4 * k], grid.scale[k], &block.words[8 * k + 4]);
    }
  }
  static void read(const Block& block, Grid& grid, LatticeBlock& content) {
    grid.d = block.d;
    for (size_t k = 0; k < 8; ++k) {
      for (size_t l = 0; l < 4; ++l) content.index[4 * k + l][0] = block.words[8 * k + l];
      grid.scale[k] = read_sign_word(&block.words[8 * k + 4], &content.state[4 * k]);
    }
  }
};

struct IQ2XS {
  using Block = BlockIQ2XS;
  static LatticeFormat format() {
    return {tensor::DType::iq2_xs,  kGrid2x512, 8,  2,    kLevels,
            OctetState::even_signs, 16,         15, kUnit};
  }
  static uint16_t d(const Block& block) { return block.d; }
  static void write(const Grid& grid, const LatticeBlock& content, Block& block) {
    block.d = grid.d;
    for (size_t o = 0; o < kOctets; ++o) {
      block.words[o] = static_cast<uint16_t>(content.index[o][0] | (content.state[o] & 127) << 9);
    }
    write_scales(grid, block.scales);
  }
  static void read(const Block& block, Grid& grid, LatticeBlock& content) {
    grid.d = block.d;
    for (size_t o = 0; o < kOctets; ++o) {
      content.index[o][0] = block.words[o] & 511;
      content.state[o] = with_parity(static_cast<unsigned>(block.words[o] >> 9));
    }
    read_scales(block.scales, grid);
  }
};

struct IQ2S {
  using Block = BlockIQ2S;
  static LatticeFormat format() {
    return {tensor::DType::iq2_s, kGrid2x1024, 8, 2, kLevels, OctetState::signs, 16, 15, kUnit};
  }
  static uint16_t d(const Block& block) { return block.d; }
  static void write(const Grid& grid, const LatticeBlock& content, Block& block) {
    block.d = grid.d;
    for (size_t o = 0; o < kOctets; ++o) {
      const unsigned index = content.index[o][0];
      block.low[o] = static_cast<uint8_t>(index);
      block.signs[o] = content.state[o];
      block.high[o / 4] = static_cast<uint8_t>(block.high[o / 4] | (index >> 8) << (2 * (o % 4)));
    }
    write_scales(grid, block.scales);
  }
  static void read(const Block& block, Grid& grid, LatticeBlock& content) {
    grid.d = block.d;
    for (size_t o = 0; o < kOctets; ++o) {
      const int high = block.high[o / 4] >> (2 * (o % 4)) & 3;
      content.index[o][0] = static_cast<uint16_t>(block.low[o] | high << 8);
      content.state[o] = block.signs[o];
    }
    read_scales(block.scales, grid);
  }
};

}  // namespace

const Codec& iq2_xxs_codec() {
  static const LatticeCodecOf<IQ2XXS> codec;
  return codec;
}

const Codec& iq2_xs_codec() {
  static const LatticeCodecOf<IQ2XS> codec;
  return codec;
}

const Codec& iq2_s_codec() {
  static const LatticeCodecOf<IQ2S> codec;
  return codec;
}

}  // namespace karat::codec
