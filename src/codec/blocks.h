// Byte layouts of the quantized blocks (GGUF types). All fields are bytes or little-endian halves
// at even offsets, so a block may be read in place from any 2-byte aligned address. Values below
// are computed in f32 in the order written; `h(x)` is the half x as f32.
#pragma once

#include <cstdint>

namespace karat::codec {

// value[i] = h(d) * q[i]
struct BlockQ8_0 {
  uint16_t d;
  int8_t q[32];
};
static_assert(sizeof(BlockQ8_0) == 34);

// value[i] = h(d) * (nibble - 8): the low nibble of q[i] for i < 16, the high one of q[i - 16]
// else.
struct BlockQ4_0 {
  uint16_t d;
  uint8_t q[16];
};
static_assert(sizeof(BlockQ4_0) == 18);

// value[i] = h(d) * code + h(m); the code is the nibble as in BlockQ4_0.
struct BlockQ4_1 {
  uint16_t d;
  uint16_t m;
  uint8_t q[16];
};
static_assert(sizeof(BlockQ4_1) == 20);

// value[i] = h(d) * (code - 16): bit i % 8 of qh[i / 8] is the code's fifth bit.
struct BlockQ5_0 {
  uint16_t d;
  uint8_t qh[4];
  uint8_t q[16];
};
static_assert(sizeof(BlockQ5_0) == 22);

// value[i] = h(d) * code + h(m); the code as in BlockQ5_0.
struct BlockQ5_1 {
  uint16_t d;
  uint16_t m;
  uint8_t qh[4];
  uint8_t q[16];
};
static_assert(sizeof(BlockQ5_1) == 24);

// value[i] = h(d) * kIq4Levels[nibble] (codebook.h); nibbles as in BlockQ4_0.
struct BlockIQ4NL {
  uint16_t d;
  uint8_t q[16];
};
static_assert(sizeof(BlockIQ4NL) == 18);

// Eight sub-blocks s of 32: value[i] = (h(d) * (scale - 32)) * kIq4Levels[nibble]. The scale's low
// four bits are a nibble of scales_l[s / 2] (the high one for odd s), the next two bits 2 * s of
// scales_h. A sub-block's 32 nibbles are in q[16 * s .. 16 * s + 15], laid out as in BlockQ4_0.
struct BlockIQ4XS {
  uint16_t d;
  uint16_t scales_h;
  uint8_t scales_l[4];
  uint8_t q[128];
};
static_assert(sizeof(BlockIQ4XS) == 136);

// value[i] = 2^(e - 128) * kFp4Levels[nibble] (codebook.h); nibbles as in BlockQ4_0.
struct BlockMXFP4 {
  uint8_t e;
  uint8_t q[16];
};
static_assert(sizeof(BlockMXFP4) == 17);

// Four sub-blocks s of 16 with their scales as UE4M3 bytes: value = scale * kFp4Levels[nibble]; a
// sub-block's nibbles are in q[8 * s .. 8 * s + 7], the low ones first.
struct BlockNVFP4 {
  uint8_t scales[4];
  uint8_t q[32];
};
static_assert(sizeof(BlockNVFP4) == 36);

// 128 elements: bit i % 8 of q[i / 8] set: value h(d), else -h(d).
struct BlockQ1_0 {
  uint16_t d;
  uint8_t q[16];
};
static_assert(sizeof(BlockQ1_0) == 18);

// 64 elements: value[i] = h(d) * ((q[i / 4] >> 2 * (i % 4) & 3) - 1).
struct BlockQ2_0 {
  uint16_t d;
  uint8_t q[16];
};
static_assert(sizeof(BlockQ2_0) == 18);

// value[i] = h(d) * (trit - 1). A byte holds five trits, qh's four (ternary.cc).
struct BlockTQ1_0 {
  uint8_t q[48];
  uint8_t qh[4];
  uint16_t d;
};
static_assert(sizeof(BlockTQ1_0) == 54);

// With n = i / 128 and r = i % 128: value[i] = h(d) * ((q[32 * n + r % 32] >> 2 * (r / 32) & 3) -
// 1).
struct BlockTQ2_0 {
  uint8_t q[64];
  uint16_t d;
};
static_assert(sizeof(BlockTQ2_0) == 66);

// Sixteen sub-blocks of 16, scale in the low nibble of scales[i / 16] and min in the high one:
// value[i] = (h(d) * scale) * code[i] - (h(dmin) * min).
// code[i] is bits 2 * (i % 128 / 32) and up of q[32 * (i / 128) + i % 32].
struct BlockQ2K {
  uint8_t scales[16];
  uint8_t q[64];
  uint16_t d;
  uint16_t dmin;
};
static_assert(sizeof(BlockQ2K) == 84);

// Sixteen sub-blocks of 16: value[i] = (h(d) * (scale(i / 16) - 32)) * (code[i] - 4). The low two
// bits of the code lie as in BlockQ2K, the third is bit i / 32 of hmask[i % 32]. The low four bits
// of scale(s) are a nibble of scales[s % 8] (the high one if s >= 8), the high two are
// scales[8 + s % 4] >> 2 * (s / 4) & 3.
struct BlockQ3K {
  uint8_t hmask[32];
  uint8_t q[64];
  uint8_t scales[12];
  uint16_t d;
};
static_assert(sizeof(BlockQ3K) == 110);

// Eight sub-blocks of 32 with 6-bit scale and min each (scale_min()):
// value[i] = (h(d) * scale) * q[i] - (h(dmin) * min).
// q[i] is a nibble of q[32 * (i / 64) + i % 32], the high one if i % 64 >= 32.
struct BlockQ4K {
  uint16_t d;
  uint16_t dmin;
  uint8_t scales[12];
  uint8_t q[128];
};
static_assert(sizeof(BlockQ4K) == 144);

// As BlockQ4K, with bit i / 32 of qh[i % 32] as the fifth bit of the code.
struct BlockQ5K {
  uint16_t d;
  uint16_t dmin;
  uint8_t scales[12];
  uint8_t qh[32];
  uint8_t q[128];
};
static_assert(sizeof(BlockQ5K) == 176);

// Sixteen sub-blocks of 16: value[i] = (h(d) * scales[i / 16]) * (code[i] - 32).
// With n = i / 128 and r = i % 128: the low four bits of the code are a nibble of
// ql[64 * n + r % 64] (the high one if r >= 64), the next two are
// (qh[32 * n + r % 32] >> 2 * (r / 32)) & 3.
struct BlockQ6K {
  uint8_t ql[128];
  uint8_t qh[64];
  int8_t scales[16];
  uint16_t d;
};
static_assert(sizeof(BlockQ6K) == 210);

struct ScaleMin {
  int scale;
  int min;
};

// The 6-bit scale and min of sub-block j in [0, 8) from the twelve scale bytes of Q4_K and Q5_K:
// the first eight bytes hold the low six bits of sub-blocks 0-3 (scales, then mins) and in their
// top two bits the high bits of sub-blocks 4-7, whose low nibbles are in the last four bytes.
inline ScaleMin scale_min(const uint8_t* scales, int j) {
  if (j < 4) return {scales[j] & 63, scales[j + 4] & 63};
  return {(scales[j + 4] & 15) | (scales[j - 4] >> 6) << 4, (scales[j + 4] >> 4) | (scales[j] >> 6)
                                                                                       << 4};
}

}  // namespace karat::codec
