// The relaxation of a knapsack problem in which bytes have a price: every item then decides for
// itself. Solved exactly over the items' convex hulls (Sinha and Zoltners, "The multiple-choice
// knapsack problem", Operations Research 27, 1979).
#pragma once

#include "allocate/problem.h"

namespace karat::allocate {

// The choices on the lower convex hull of cost over bytes, from the smallest to the cheapest one,
// as indices; of equal ones the first.
std::vector<size_t> hull_of(const std::vector<Choice>& choices);

struct Relaxation {
  // Cost that one byte more would save: the price at which the items' own best choices fit.
  double price = 0;
  double bound = 0;               // no assignment within the budget costs less
  std::vector<size_t> base = {};  // [items]: best at that price, the smaller one of two; fits
  Assignment feasible = {};       // base, and what else of the next best steps fits
};

// bytes_min(problem) must be at most the budget (CHECK).
Relaxation relax(const Problem& problem);

}  // namespace karat::allocate
