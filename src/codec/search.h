// Searches for the grid of one block: the scales, as they will be stored, that make the weighted
// squared error least when every element then takes its nearest code. Exact minima are out of reach
// (the error has a local minimum per rounding pattern), so a search with second-level integers is
//
//   1. per sub-block a set of trial roundings. Each fixes the codes, and with fixed codes the error
//      is an exact quadratic in step and offset (its least-squares fit and curvature);
//   2. many trial block scales, judged by those quadratics: per sub-block the least error that any
//      of its roundings has at its best stored integers. No element is touched, so this is cheap;
//   3. for the best block scales the stored integers near the model's, judged by the true error
//      with every element at its nearest code;
//   4. alternately the block scales by least squares with codes and integers fixed, and 3 anew, as
//      long as the error falls.
//
// The reference encoders (FORMATS.md 3.1, QX, QKX and QP) fit each sub-block alone and then round
// the scales; steps 2 to 4 judge by the block's own error. Deterministic and the same for every
// instruction set: the lanes of a vector are trials, each of which adds its elements up in order.
#pragma once

#include "codec/codec.h"

namespace karat::codec {

// Values and conditioned weights of `subs` sub-blocks of `sub_elems` each, a multiple of 16.
// At most kBlockElemsMax values.
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

// value = d * code + m over one sub-block, code in [0, code_max]; m, of either sign, is dmin's half
// and -offset.
Grid search_single_affine(const BlockProblem& problem, int code_max);

// What the vectorised searches give (table.h): d, dmin and m are values of halves, the integers are
// whole. A d that no sub-block uses is left for the caller to store as zero.
struct BlockChoice {
  float d = 0;
  float dmin = 0;  // search_single_affine: m
  float scale[kSubBlocksMax] = {};
  float min[kSubBlocksMax] = {};
};

// As stored; a block scale that nothing uses is zero.
Grid to_grid(const BlockChoice& choice, int subs);
// Without a second level: d is the step.
Grid to_grid(const BlockChoice& choice);

}  // namespace karat::codec
