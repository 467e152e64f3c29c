// The best assignment within a budget: from the relaxation, what it leaves of the budget is put to
// use by a search over the few items whose choice is in doubt (the "core": Pisinger, "A minimal
// algorithm for the multiple-choice knapsack problem", EJOR 83, 1995).
#pragma once

#include "allocate/problem.h"

namespace karat::allocate {

struct Solution {
  Assignment assignment;
  double bound = 0;    // no assignment within the budget costs less
  double price = 0;    // cost that one byte more saves, about
  bool exact = false;  // nothing was cut off: the assignment is the best but for rounding
};

struct SolveOptions {
  size_t states_max = size_t{1} << 18;  // partial assignments kept at a time; fewer is faster
  // Of a budget that good assignments leave unused, at most this share is left if larger choices
  // exist that fit, even where those cost more.
  double unused_share = 0.001;
};

// Deterministic. bytes_min(problem) must be at most the budget (CHECK).
Solution solve(const Problem& problem, const SolveOptions& options = {});

}  // namespace karat::allocate
