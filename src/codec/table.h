// The vectorised parts of the codecs, one table per instruction set (simd/choice.h). Each function
// is written once, in an .inl.h file on vectors of 16 lanes, and every table computes the same
// bits: the scalar table defines them.
#pragma once

#include <cstdint>

#include "codec/search.h"
#include "simd/choice.h"

namespace karat::codec {

struct Codebook;
struct LatticeRounding;
struct LatticeScaleFits;
struct LatticeScales;
struct LatticeSums;
struct LatticeView;

// The part of a Grid that rounding needs.
struct ScalarGrid {
  const float* step;
  const float* offset;
  int sub_elems;
  float low;
  float high;
};

struct CodecTable {
  // Index of the first of n values that is NaN or greater than range_max in magnitude; n if none.
  int64_t (*first_out_of_range)(const float* x, int64_t n, float range_max) noexcept;
  // See lattice_view.h. For sixteen steps, n elements (whole octets) rounded level by level, then
  // to the points nearest to those levels. kind is that of all octets, or of no meaning.
  void (*lattice_sums)(const LatticeView& view, int kind, const float* y, const float* w, int n,
                       const float* steps, LatticeSums& out) noexcept;
  // n elements, up to four octets, rounded to the points of least weighted squared error; once the
  // sum of errors reaches the limit, the rest is left out.
  void (*lattice_round)(const LatticeView& view, int kind, float step, const float* y,
                        const float* w, int n, float limit, LatticeRounding& out) noexcept;
  // Sixteen block scales tried.
  void (*lattice_scales)(const LatticeScales& problem, const float* d,
                         LatticeScaleFits& out) noexcept;

  // See weights.h; w holds conditioned importances and is replaced (weigh_by_size), or is written.
  void (*condition_weights)(const float* w, int n, float* out) noexcept;
  void (*weigh_by_size)(float factor, int block, const float* x, int n, float* w) noexcept;
  void (*weigh_by_magnitude)(const float* x, int n, float* w) noexcept;
  // codes[i] is the code in [low, high] nearest to x[i] under value = step[s] * code - offset[s],
  // s = i / sub_elems, as round_scalar() of each (scalar_code.h). sub_elems is a multiple of 16.
  void (*round_codes)(const ScalarGrid& grid, const float* x, int n, int32_t* codes) noexcept;

  // search.h's searches.
  BlockChoice (*search_affine)(const BlockProblem&, int code_max, int integer_max) noexcept;
  BlockChoice (*search_symmetric)(const BlockProblem&, int code_bound, int integer_bound) noexcept;
  BlockChoice (*search_single)(const BlockProblem&, int code_bound) noexcept;
  BlockChoice (*search_single_affine)(const BlockProblem&, int code_max) noexcept;

  // codebook.h's. least_step: of sixteen steps.
  BlockChoice (*search_codebook)(const Codebook&, const BlockProblem&, int integer_bound) noexcept;
  BlockChoice (*search_codebook_single)(const Codebook&, const BlockProblem&) noexcept;
  int (*least_step)(const Codebook&, const float* x, const float* w, int n,
                    const float* steps) noexcept;
};

const CodecTable& table_for(simd::Isa isa);
// Of the instruction set in use.
const CodecTable& table();

extern const CodecTable scalar_table;
extern const CodecTable avx2_table;
extern const CodecTable avx512_table;

}  // namespace karat::codec
