#include "allocate/lagrange.h"

#include <algorithm>
#include <numeric>

#include "base/error.h"

namespace karat::allocate {

namespace {

// One step up an item's hull, from a choice to the next larger one.
struct Step {
  size_t item, to;
  uint64_t bytes;
  double saving;  // of cost
  double rate() const { return saving / static_cast<double>(bytes); }
};

}  // namespace

std::vector<size_t> hull_of(const std::vector<Choice>& choices) {
  std::vector<size_t> order(choices.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    const Choice &x = choices[a], &y = choices[b];
    return x.bytes != y.bytes ? x.bytes < y.bytes : x.cost < y.cost;
  });
  const auto rate = [&](size_t from, size_t to) {
    return (choices[from].cost - choices[to].cost) /
           static_cast<double>(choices[to].bytes - choices[from].bytes);
  };
  std::vector<size_t> hull;
  for (const size_t i : order) {
    if (!hull.empty() && !(choices[i].cost < choices[hull.back()].cost)) continue;
    if (!hull.empty() && choices[i].bytes == choices[hull.back()].bytes) continue;
    while (hull.size() >= 2 && rate(hull[hull.size() - 2], hull.back()) <= rate(hull.back(), i)) {
      hull.pop_back();
    }
    hull.push_back(i);
  }
  return hull;
}

Relaxation relax(const Problem& problem) {
  std::vector<size_t> choice;
  std::vector<Step> steps;
  for (size_t item = 0; item < problem.items.size(); ++item) {
    const std::vector<Choice>& choices = problem.items[item];
    const std::vector<size_t> hull = hull_of(choices);
    choice.push_back(hull[0]);
    for (size_t i = 1; i < hull.size(); ++i) {
      const Choice &from = choices[hull[i - 1]], &to = choices[hull[i]];
      steps.push_back({item, hull[i], to.bytes - from.bytes, from.cost - to.cost});
    }
  }
  // Steps of one item come in falling rates, so that a stable order keeps theirs.
  std::stable_sort(steps.begin(), steps.end(),
                   [](const Step& a, const Step& b) { return a.rate() > b.rate(); });
  Assignment now = assignment_of(problem, choice);
  CHECK(now.bytes <= problem.budget);
  Relaxation out;
  std::vector<bool> stuck(problem.items.size());
  bool broken = false;
  for (const Step& step : steps) {
    const bool fits = now.bytes + step.bytes <= problem.budget;
    if (!fits && !broken) {
      broken = true;
      out.price = step.rate();
      out.base = choice;
      out.bound = now.cost - out.price * static_cast<double>(problem.budget - now.bytes);
    }
    if (!fits) stuck[step.item] = true;
    if (stuck[step.item]) continue;
    choice[step.item] = step.to;
    now.bytes += step.bytes;
    now.cost -= step.saving;
  }
  out.feasible = assignment_of(problem, choice);
  if (!broken) {
    out.base = choice;
    out.bound = out.feasible.cost;
  }
  return out;
}

}  // namespace karat::allocate
