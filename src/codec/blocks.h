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
