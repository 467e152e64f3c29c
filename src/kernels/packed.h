// Quantized weights in the order in which the integer product reads them ("P16"): 16 rows of the
// matrix side by side, 256 columns at a time, in as many bytes as the file's blocks take (and a
// little padding). Rows that are missing in the last group are zero.
//
// A group of 16 rows is a sequence of panels of 256 columns (the last one of fewer, if the type has
// blocks of 32). A panel of b blocks holds, in the order of reading: memory is read at full speed
// only where every line follows the one before.
//   * scales, per type (unpack.inl.h), 16 rows side by side in each of their arrays, filled up to a
//     multiple of 64 bytes (Q6_K: 32 bytes of 3,392);
//   * codes. Columns come in steps of four, eight steps in a block of 32; lane l of a 64-byte line
//     is its l-th dword and belongs to row l: byte j of it has column j of consecutive steps, the
//     first in its lowest bits. A line of low bits has 8 / low_bits steps; a line of high bits (Q5,
//     Q6, Q3) has 8 / high_bits and comes before the lines of the low bits of its steps.
#pragma once

#include <cstddef>
#include <cstdint>

#include "tensor/dtype.h"

namespace karat::kernels {

constexpr int64_t kGroupRows = 16;
constexpr int64_t kPanelCols = 256;
constexpr int64_t kBlockCols = 32;
constexpr int kPanelBlocks = 8;
constexpr int kBlockSteps = 8;

// How a type's codes are split into planes; low_bits is 0 for a type without an integer form.
struct PackedCodes {
  int low_bits;
  int high_bits;
};
constexpr PackedCodes packed_codes(tensor::DType type) {
  switch (type) {
    case tensor::DType::q8_0:
      return {8, 0};
    case tensor::DType::q4_0:
    case tensor::DType::q4_1:
    case tensor::DType::q4_k:
    case tensor::DType::iq4_nl:
    case tensor::DType::iq4_xs:
    case tensor::DType::mxfp4:
      return {4, 0};
    case tensor::DType::q5_0:
    case tensor::DType::q5_1:
    case tensor::DType::q5_k:
      return {4, 1};
    case tensor::DType::q6_k:
      return {4, 2};
    case tensor::DType::q2_k:
      return {2, 0};
    case tensor::DType::q3_k:
      return {2, 1};
    default:
      return {0, 0};
  }
}

// Bytes of a block of a panel's codes.
constexpr int64_t code_bytes(PackedCodes codes) { return 64 * (codes.low_bits + codes.high_bits); }

// Where the lines with step `step` of a block are, from the block's first.
constexpr int64_t high_line(PackedCodes codes, int step) {
  return int64_t{64} * (step * codes.high_bits / 8) * (1 + codes.low_bits / codes.high_bits);
}
constexpr int64_t low_line(PackedCodes codes, int step) {
  const int highs = codes.high_bits == 0 ? 0 : step * codes.high_bits / 8 + 1;
  return int64_t{64} * (highs + step * codes.low_bits / 8);
}

// Whether weights of this type can be packed.
bool has_integer_form(tensor::DType type);
// Bytes of a panel of `cols` columns (at most 256), of its scales alone, and of a matrix [rows,
// cols].
int64_t panel_bytes(tensor::DType type, int64_t cols);
int64_t panel_scale_bytes(tensor::DType type, int64_t cols);
int64_t packed_bytes(tensor::DType type, int64_t rows, int64_t cols);
// Packs `rows` rows of stored blocks, adjacent at `stored`, into whole groups at `out`.
void pack_rows(tensor::DType type, const std::byte* stored, int64_t rows, int64_t cols,
               std::byte* out);

// 256 columns of a row of inputs: value[i] is about scale[i / 32] * code[i], with the scale max|x|
// / 127 over its block of 32. Blocks beyond the row's end are zero.
struct QuantizedBlock {
  int8_t code[256];
  float scale[8];
  float product[8];         // scale[b] * the sum of block b's codes
  int32_t minus_sum32[8];   // minus the sum of block b's codes
  int32_t minus_sum16[16];  // minus the sum of 16 codes
};
constexpr int64_t kBlockWords = sizeof(QuantizedBlock) / sizeof(int32_t);
static_assert(kBlockWords == 104);

constexpr int64_t panels_of(int64_t cols) { return (cols + kPanelCols - 1) / kPanelCols; }

// The integer product reads rows of inputs in tiles: of `tile_max` rows (the table's) while there
// are so many, then of the largest power of two that is not more than the rest. A tile of n rows
// holds, panel after panel, the words of their blocks interleaved: word w of row r is word w * n +
// r.
constexpr int64_t tile_width(int64_t rows, int64_t tile_max) {
  if (rows >= tile_max) return tile_max;
  int64_t width = 1;
  while (2 * width <= rows) width *= 2;
  return width;
}

// y [rows, features] (stride ldy) = x [rows, cols] times w [features, cols]^T, w packed from the
// first of a group on. Each output is, in float, from 0, over blocks of 32 columns in increasing
// order
//   one scale per 32:   y = fma(float(n), ws * xs, y)
//   one scale per 16:   p = float(n0) * ws0;  p = fma(float(n1), ws1, p);  y = fma(p, xs, y)
// where n is the exact sum of products of the integer codes, ws and xs the scales; and for types
// with an offset (value = ws * code + wo) then
//   one per 32:         y = fma(wo, xs * sum of x's codes, y)
//   one per 16:         p = fma(wo, sum, p), for both, before p is added to y.
struct IntegerProduct {
  tensor::DType type;
  const std::byte* w;
  int64_t features, cols;
  const std::byte* x;  // tiles of the table that runs
  int64_t rows;
  float* y;
  int64_t ldy;
};

}  // namespace karat::kernels
