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

// Takes lengths (each >= 1) in their order while they fit, and fills the last few thousand tokens
// with a set of those left whose sum is just right, if there is one, else as large as possible
// (subset sum by dynamic programming; of several, the one that uses the earliest).
ExactChoice choose_exactly(std::span<const int64_t> lengths, int64_t budget);

}  // namespace karat::calib
