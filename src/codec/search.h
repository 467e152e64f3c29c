// Searches for the grid of one block: the scales, as they will be stored, that make the weighted
// squared error least when every element then takes its nearest code. Exact minima are out of reach
// (the error has a local minimum per rounding pattern), so each search is
//
//   1. per sub-block a least-squares fit of step and offset over a fan of trial roundings;
//   2. from several block scales: for each sub-block the best pair of stored integers near its
//      fit, judged by the true error under the half-rounded block scales;
//   3. alternately the block scales by least squares with all codes and integers fixed, and the
//      integers anew, until nothing improves.
//
// The fans contain those of the reference encoders (FORMATS.md 3.1, QX and QKX), and step 2 judges
// by the block's own error where the reference judges scales alone (FORMATS.md 3.2). Deterministic:
// plain f32 in a fixed order.
#pragma once

#include "codec/codec.h"

namespace karat::codec {

// Values and conditioned weights of `subs` sub-blocks of `sub_elems` each (a multiple of 4).
struct BlockProblem {
  const float* x;
  const float* w;
  int subs;
  int sub_elems;
};

// value = (d * scale) * code - (dmin * min), code in [0, code_max], scale and min in
// [0, integer_max].
Grid search_affine(const BlockProblem& problem, int code_max, int integer_max);

// value = (d * scale) * code, code in [-code_bound, code_bound - 1], scale in
// [-integer_bound, integer_bound - 1].
Grid search_symmetric(const BlockProblem& problem, int code_bound, int integer_bound);

// value = d * code over one sub-block, code in [-code_bound, code_bound - 1]: no second level.
Grid search_single(const BlockProblem& problem, int code_bound);

}  // namespace karat::codec
