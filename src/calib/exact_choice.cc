#include "calib/exact_choice.h"

#include <algorithm>
#include <numeric>

namespace karat::calib {

namespace {

// Tokens that are filled by search, and what it has to choose from: at least so many sequences, and
// at least so many times the tokens, however short they are.
constexpr int64_t kTail = 1 << 14, kCandidates = 1 << 10, kCandidateTokens = 4 * kTail;

}  // namespace

ExactChoice choose_exactly(std::span<const int64_t> lengths, int64_t budget) {
  ExactChoice choice;
  const int64_t total = std::accumulate(lengths.begin(), lengths.end(), int64_t{0});
  if (total <= budget) {
    choice.whole.resize(lengths.size());
    std::iota(choice.whole.begin(), choice.whole.end(), size_t{0});
    choice.missing = budget - total;
    return choice;
  }
  int64_t left = budget, of_candidates = 0;
  std::vector<size_t> candidates;
  for (size_t i = 0; i < lengths.size(); ++i) {
    if (lengths[i] > left) continue;
    if (left - lengths[i] >= kTail) {
      choice.whole.push_back(i);
      left -= lengths[i];
    } else if (std::ssize(candidates) < kCandidates || of_candidates < kCandidateTokens) {
      candidates.push_back(i);
      of_candidates += lengths[i];
    }
  }
  // last[t]: the candidate, counted from 1, that completed a sum of t; 0: t cannot be reached.
  // There is more text than the budget, so `left` is less than kTail and one sequence.
  std::vector<uint32_t> last(static_cast<size_t>(left) + 1);
  last[0] = UINT32_MAX;
  for (size_t c = 0; c < candidates.size() && last.back() == 0; ++c) {
    const auto length = static_cast<size_t>(lengths[candidates[c]]);
    for (size_t t = last.size(); t-- > length;) {
      if (last[t] == 0 && last[t - length] != 0) last[t] = static_cast<uint32_t>(c) + 1;
    }
  }
  size_t sum = last.size() - 1;
  while (last[sum] == 0) --sum;
  choice.missing = left - static_cast<int64_t>(sum);
  while (sum > 0) {
    const size_t index = candidates[last[sum] - 1];
    choice.whole.push_back(index);
    sum -= static_cast<size_t>(lengths[index]);
  }
  std::sort(choice.whole.begin(), choice.whole.end());
  return choice;
}

}  // namespace karat::calib
