// Sequences whose lengths add up to just so many tokens.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace karat::calib {

struct ExactChoice {
  std::vector<size_t> whole;  // rising indices of what is taken whole
  int64_t missing = 0;        // tokens of the budget that no whole sequence fills
};

// Takes lengths (each >= 1) in their order while they fit, and fills the last 16,384 tokens with a
// set of those left whose sum is just right, if one is found, else as large as possible (subset sum
// by dynamic programming over the first 1,024 or 65,536 tokens of them, whichever are more; of
// several sets, the one that uses the earliest). All of them if they are no more than the budget.
// Takes memory for the largest length, not for the budget.
ExactChoice choose_exactly(std::span<const int64_t> lengths, int64_t budget);

}  // namespace karat::calib
