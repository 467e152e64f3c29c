#include "allocate/problem.h"

#include <algorithm>

#include "base/error.h"

namespace karat::allocate {

namespace {

bool smaller(const Choice& a, const Choice& b) { return a.bytes < b.bytes; }

}  // namespace

Assignment assignment_of(const Problem& problem, std::vector<size_t> choice) {
  CHECK(choice.size() == problem.items.size());
  Assignment assignment;
  for (size_t i = 0; i < choice.size(); ++i) {
    const Choice& chosen = problem.items[i].at(choice[i]);
    assignment.bytes += chosen.bytes;
    assignment.cost += chosen.cost;
  }
  assignment.choice = std::move(choice);
  return assignment;
}

uint64_t bytes_min(const Problem& problem) {
  uint64_t bytes = 0;
  for (const auto& choices : problem.items) {
    bytes += std::min_element(choices.begin(), choices.end(), smaller)->bytes;
  }
  return bytes;
}

uint64_t bytes_max(const Problem& problem) {
  uint64_t bytes = 0;
  for (const auto& choices : problem.items) {
    bytes += std::max_element(choices.begin(), choices.end(), smaller)->bytes;
  }
  return bytes;
}

}  // namespace karat::allocate
