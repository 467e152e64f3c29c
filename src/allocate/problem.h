// Choosing one alternative for each item so that the costs add up to as little as a budget of bytes
// allows: the multiple-choice knapsack problem. Nothing here knows what items are.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace karat::allocate {

struct Choice {
  uint64_t bytes = 0;
  double cost = 0;  // finite
};

// Every item has at least one choice, in any order.
struct Problem {
  std::vector<std::vector<Choice>> items;
  uint64_t budget = 0;  // bytes of all choices together at most
};

struct Assignment {
  std::vector<size_t> choice;  // [items]: index into the item's choices
  uint64_t bytes = 0;
  double cost = 0;
};

// Sums up an assignment from its choices, costs in the order of the items.
Assignment assignment_of(const Problem& problem, std::vector<size_t> choice);

// What the smallest and the largest choices of all items take together.
uint64_t bytes_min(const Problem& problem);
uint64_t bytes_max(const Problem& problem);

}  // namespace karat::allocate
