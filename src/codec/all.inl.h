// Everything that is vectorised, in order of use: included once per instruction set, after its
// vocabulary, inside its namespace. Ends with the table.
// clang-format off
#include "codec/search_lanes.inl.h"
#include "codec/lattice.inl.h"
#include "codec/range.inl.h"
#include "codec/weights.inl.h"
#include "codec/round.inl.h"
#include "codec/search_affine.inl.h"
#include "codec/search_symmetric.inl.h"
#include "codec/search_single.inl.h"
#include "codec/codebook.inl.h"
// clang-format on

constexpr CodecTable make_table() {
  return {
      .first_out_of_range = first_out_of_range,
      .lattice_sums = lattice_sums,
      .lattice_round = lattice_round,
      .lattice_scales = lattice_scales,
      .condition_weights = condition_weights,
      .weigh_by_size = weigh_by_size,
      .weigh_by_magnitude = weigh_by_magnitude,
      .round_codes = round_codes,
      .search_affine = search_affine,
      .search_symmetric = search_symmetric,
      .search_single = search_single,
      .search_single_affine = search_single_affine,
      .search_codebook = search_codebook,
      .search_codebook_single = search_codebook_single,
      .least_step = least_step,
  };
}
