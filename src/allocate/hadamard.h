// Weighing designs: with every run all effects are weighed at once, each with a sign of its own
// (Hotelling, "Some improvements in weighing and other experimental techniques", 1944; the matrices
// are Sylvester's).
#pragma once

#include <bit>
#include <cstddef>
#include <span>
#include <vector>

namespace karat::allocate {

// Runs that weigh so many effects and leave at least a few columns for the noise: a power of two.
inline size_t design_runs(size_t effects) { return std::bit_ceil(effects + 8); }

// +1 or -1: the sign of effect `effect` in run `run`. Columns are orthogonal and sum to zero.
inline int design_sign(size_t run, size_t effect) {
  return std::popcount(run & (effect + 1)) % 2 == 0 ? 1 : -1;
}

struct Effects {
  std::vector<double> values;  // [effects]: by what +1 instead of 0 changes the result
  double error = 0;            // standard error of each, from the columns without an effect
};

// Least squares over all runs; results.size() == design_runs(effects).
Effects weigh(std::span<const double> results, size_t effects);

}  // namespace karat::allocate
