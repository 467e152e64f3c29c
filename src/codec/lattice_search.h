// Searches for the codes of an octet and for the grid of a block of a lattice format.
// Deterministic: f32 in a fixed order.
//
// Where the number of minus signs must be even and is not, the value of least w * |x| is taken with
// the wrong sign: at the least magnitude, which it nearly always has, that is the cheapest.
#pragma once

#include "codec/lattice.h"

namespace karat::codec {

// The stored octet of least sum(w * (value - x)^2) at a step: every point of the list is compared.
// Weights are conditioned. `delta` is the sub-block's, 1 for a negative one.
OctetChoice nearest_octet(const Lattice& lattice, float step, int delta, const float* x,
                          const float* w);

// All octets of a block, each as nearest_octet chooses it.
LatticeBlock nearest_octets(const Lattice& lattice, const Grid& grid, const float* x,
                            const float* w);

// The block's d, scales and deltas for 256 values and conditioned weights:
//
//   1. per sub-block the sums of its levels under the best of a fan of steps, each element rounded
//   by
//      itself and each octet then moved to the point nearest to that;
//   2. the d, and the scales, that are best for these sums;
//   3. under that d the same rounding for every scale there is; under the scales that look good,
//      every octet at its best point; the best of these scales;
//   4. d and scales anew for these points.
//
// The reference encoders (FORMATS.md 3.3) take d from the largest step of 1 and correct it by a
// constant, round the scales alone, and keep the points of 1.
Grid search_lattice(const Lattice& lattice, const float* x, const float* w);

}  // namespace karat::codec
