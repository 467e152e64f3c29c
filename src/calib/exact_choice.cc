#include "calib/exact_choice.h"

#include <algorithm>

namespace karat::calib {

namespace {

constexpr int64_t kTail = 1 << 14;       // tokens that are filled by search
constexpr size_t kCandidates = 1 << 10;  // sequences it may use

}  // namespace

ExactChoice choose_exactly(std::span<const int64_t> lengths, int64_t budget) {
  ExactChoice choice;
  int64_t left = budget;
  std::vector<size_t> candidates;
  for (size_t i = 0; i < lengths.size(); ++i) {
    if (lengths[i] > left) continue;
    if (left - lengths[i] >= kTail) {
      choice.whole.push_back(i);
      left -= lengths[i];
    } else if (candidates.size() < kCandidates) {
      candidates.push_back(i);
    }
  }
  // last[t]: the candidate, counted from 1, that completed a sum of t; 0: t cannot be reached.
  std::vector<size_t> last(static_cast<size_t>(left) + 1);
  last[0] = SIZE_MAX;
  for (size_t c = 0; c < candidates.size() && last.back() == 0; ++c) {
    const auto length = static_cast<size_t>(lengths[candidates[c]]);
    for (size_t t = last.size(); t-- > length;) {
      if (last[t] == 0 && last[t - length] != 0) last[t] = c + 1;
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
