// Byte layouts of the lattice blocks (IQ1, IQ2, IQ3; GGUF types): 256 values in 32 octets of eight.
// As in blocks.h fields are bytes or little-endian halves at even offsets. With `h(x)` the half x
// as f32, value = step * level, where level is a (signed) coordinate of the octet's lattice points
// (lattice_grids.h) and step = h(d) * (2 * scale + 1) * unit for the sub-block's stored scale.
//
// A word of seven sign bits has an eighth, the parity of the seven: the number of minus signs is
// even.
#pragma once

#include <cstdint>

namespace karat::codec {

// unit 1/8, levels 8 25 43. Per 32 elements eight bytes of words[]: four indices, then 32 bits:
// four times seven sign bits, lowest octet first, and the scale in the top four.
struct BlockIQ2XXS {
  uint16_t d;
  uint8_t words[64];
};
static_assert(sizeof(BlockIQ2XXS) == 66);

// unit 1/8, levels 8 25 43. Per octet nine bits of index and seven of sign; octet o's scale, shared
// by two octets, is nibble o % 4 / 2 of scales[o / 4].
struct BlockIQ2XS {
  uint16_t d;
  uint16_t words[32];
  uint8_t scales[8];
};
static_assert(sizeof(BlockIQ2XS) == 74);

// unit 1/8, levels 8 25 43. Index bits 8 and 9 of octet o are bits 2 * (o % 4) of high[o / 4];
// eight free signs; scales as in BlockIQ2XS.
struct BlockIQ2S {
  uint16_t d;
  uint8_t low[32];
  uint8_t signs[32];
  uint8_t high[8];
  uint8_t scales[8];
};
static_assert(sizeof(BlockIQ2S) == 82);

// unit 1/4, levels 4 12 20 28 36 44 52 62, two points of four coordinates per octet. The 32 bits
// of words[4 k ..] are the signs and scale of the k-th 32 elements, as in BlockIQ2XXS.
struct BlockIQ3XXS {
  uint16_t d;
  uint8_t index[64];
  uint8_t words[32];
};
static_assert(sizeof(BlockIQ3XXS) == 98);

// unit 1, levels 1 3 .. 15, two points per octet. Bit 8 of index i is bit i % 8 of high[i / 8];
// eight free signs; the scale of the k-th 32 elements is nibble k % 2 of scales[k / 2].
struct BlockIQ3S {
  uint16_t d;
  uint8_t low[64];
  uint8_t high[8];
  uint8_t signs[32];
  uint8_t scales[4];
};
static_assert(sizeof(BlockIQ3S) == 110);

// unit 1/8, levels -8 0 8, each plus delta. Of state[k], for the k-th 32 elements: bits 3 l .. are
// index bits 8 to 10 of octet l, bits 12 to 14 the scale, bit 15 says that delta is -1, not 1.
struct BlockIQ1S {
  uint16_t d;
  uint8_t low[32];
  uint16_t state[8];
};
static_assert(sizeof(BlockIQ1S) == 50);

// unit 1/8, levels as BlockIQ1S. Nibble o % 2 of high[o / 2]: index bits 8 to 10 and the sign of
// delta for octet o. scales: 3 bits at 3 * (j % 4) of scales[j / 4] for the j-th 16 elements, and
// in the top nibbles, lowest first, d.
struct BlockIQ1M {
  uint8_t low[32];
  uint8_t high[16];
  uint16_t scales[4];
};
static_assert(sizeof(BlockIQ1M) == 56);

}  // namespace karat::codec
