// IQ3_XXS and IQ3_S: quads on lists of 256 and 512 points of eight magnitudes.
#include "codec/formats.h"
#include "codec/iq_blocks.h"
#include "codec/lattice.h"
#include "codec/lattice_grids.h"
#include "codec/sign_words.h"

namespace karat::codec {
namespace {

struct IQ3XXS {
  using Block = BlockIQ3XXS;
  static LatticeFormat format() {
    return {.type = tensor::DType::iq3_xxs,
            .points = kGrid3x256,
            .point_coords = 4,
            .top = 7,
            .level = {4, 12, 20, 28, 36, 44, 52, 62},
            .state = OctetState::even_signs,
            .sub_elems = 32,
            .scale_max = 15,
            .unit = 0.25F};
  }
  static uint16_t d(const Block& block) { return block.d; }
  static void write(const Grid& grid, const LatticeBlock& content, Block& block) {
    block.d = grid.d;
    for (size_t i = 0; i < 2 * kOctets; ++i) {
      block.index[i] = static_cast<uint8_t>(content.index[i / 2][i % 2]);
    }
    for (size_t k = 0; k < 8; ++k) {
      write_sign_word(&content.state[4 * k], grid.scale[k], &block.words[4 * k]);
    }
  }
  static void read(const Block& block, Grid& grid, LatticeBlock& content) {
    grid.d = block.d;
    for (size_t i = 0; i < 2 * kOctets; ++i) content.index[i / 2][i % 2] = block.index[i];
    for (size_t k = 0; k < 8; ++k) {
      grid.scale[k] = read_sign_word(&block.words[4 * k], &content.state[4 * k]);
    }
  }
};

struct IQ3S {
  using Block = BlockIQ3S;
  static LatticeFormat format() {
    return {.type = tensor::DType::iq3_s,
            .points = kGrid3x512,
            .point_coords = 4,
            .top = 7,
            .level = {1, 3, 5, 7, 9, 11, 13, 15},
            .state = OctetState::signs,
            .sub_elems = 32,
            .scale_max = 15,
            .unit = 1.0F};
  }
  static uint16_t d(const Block& block) { return block.d; }
  static void write(const Grid& grid, const LatticeBlock& content, Block& block) {
    block.d = grid.d;
    for (size_t i = 0; i < 2 * kOctets; ++i) {
      const unsigned index = content.index[i / 2][i % 2];
      block.low[i] = static_cast<uint8_t>(index);
      block.high[i / 8] = static_cast<uint8_t>(block.high[i / 8] | (index >> 8) << (i % 8));
    }
    for (size_t o = 0; o < kOctets; ++o) block.signs[o] = content.state[o];
    for (size_t k = 0; k < 4; ++k) {
      block.scales[k] = static_cast<uint8_t>(grid.scale[2 * k] | grid.scale[2 * k + 1] << 4);
    }
  }
  static void read(const Block& block, Grid& grid, LatticeBlock& content) {
    grid.d = block.d;
    for (size_t i = 0; i < 2 * kOctets; ++i) {
      const int high = block.high[i / 8] >> (i % 8) & 1;
      content.index[i / 2][i % 2] = static_cast<uint16_t>(block.low[i] | high << 8);
    }
    for (size_t o = 0; o < kOctets; ++o) content.state[o] = block.signs[o];
    for (size_t k = 0; k < 4; ++k) {
      grid.scale[2 * k] = block.scales[k] & 15;
      grid.scale[2 * k + 1] = block.scales[k] >> 4;
    }
  }
};

}  // namespace

const Codec& iq3_xxs_codec() {
  static const LatticeCodecOf<IQ3XXS> codec;
  return codec;
}

const Codec& iq3_s_codec() {
  static const LatticeCodecOf<IQ3S> codec;
  return codec;
}

}  // namespace karat::codec
