#include "allocate/knapsack.h"

#include <gtest/gtest.h>

#include <limits>

#include "allocate/lagrange.h"
#include "base/rng.h"

namespace karat::allocate {
namespace {

// Random items of choices whose cost falls with their bytes, mostly.
Problem random_problem(uint64_t seed, size_t items, size_t choices, uint64_t grain) {
  base::Rng rng(seed);
  Problem problem;
  for (size_t i = 0; i < items; ++i) {
    std::vector<Choice> list;
    const double gain = 1 + 20 * rng.uniform();
    for (size_t c = 0; c < choices; ++c) {
      const uint64_t bytes = grain * (1 + rng.below(40));
      list.push_back({bytes, gain / static_cast<double>(bytes) * (0.8 + 0.4 * rng.uniform())});
    }
    problem.items.push_back(list);
  }
  const uint64_t low = bytes_min(problem), high = bytes_max(problem);
  problem.budget = low + rng.below(high - low + 1);
  return problem;
}

// Every assignment, one by one.
double best_cost(const Problem& problem) {
  double best = std::numeric_limits<double>::infinity();
  std::vector<size_t> choice(problem.items.size());
  for (;;) {
    const Assignment assignment = assignment_of(problem, choice);
    if (assignment.bytes <= problem.budget) best = std::min(best, assignment.cost);
    size_t i = 0;
    while (i < choice.size() && ++choice[i] == problem.items[i].size()) choice[i++] = 0;
    if (i == choice.size()) return best;
  }
}

TEST(Knapsack, IsTheBestOfAllAssignments) {
  for (uint64_t seed = 0; seed < 300; ++seed) {
    const Problem problem = random_problem(seed, 6, 4, 1 + seed % 3);
    const Solution solution = solve(problem, {.unused_share = 1});
    ASSERT_TRUE(solution.exact);
    EXPECT_LE(solution.assignment.bytes, problem.budget);
    const double best = best_cost(problem);
    EXPECT_NEAR(solution.assignment.cost, best, 1e-10 * best) << seed;
    EXPECT_LE(solution.bound, best * (1 + 1e-10)) << seed;
  }
}

TEST(Knapsack, OfManyItemsIsWithinTheBoundAndFillsTheBudget) {
  const Problem problem = random_problem(7, 433, 18, 4096);
  const Solution solution = solve(problem);
  EXPECT_LE(solution.assignment.bytes, problem.budget);
  EXPECT_GE(static_cast<double>(solution.assignment.bytes),
            0.999 * static_cast<double>(problem.budget));
  EXPECT_GE(solution.assignment.cost, solution.bound * (1 - 1e-12));
  EXPECT_LE(solution.assignment.cost, solution.bound * 1.001);
}

TEST(Knapsack, FewStatesStillGiveAnAssignmentThatFits) {
  const Problem problem = random_problem(3, 60, 8, 1);
  const Solution cut = solve(problem, {.states_max = 2}), whole = solve(problem);
  EXPECT_LE(cut.assignment.bytes, problem.budget);
  EXPECT_GE(cut.assignment.cost, whole.assignment.cost * (1 - 1e-12));
  EXPECT_LE(cut.assignment.cost, relax(problem).feasible.cost);
}

TEST(Knapsack, UsesTheBudgetEvenWhereThatCosts) {
  Problem problem;
  problem.items = {{{10, 1}, {100, 1.5}}};
  problem.budget = 100;
  EXPECT_EQ(solve(problem, {.unused_share = 1}).assignment.bytes, 10u);
  EXPECT_EQ(solve(problem).assignment.bytes, 100u);
}

TEST(Knapsack, AtBothEndsOfTheRange) {
  Problem problem = random_problem(11, 20, 5, 8);
  problem.budget = bytes_min(problem);
  EXPECT_EQ(solve(problem).assignment.bytes, problem.budget);
  problem.budget = bytes_max(problem);
  EXPECT_LE(solve(problem).assignment.bytes, problem.budget);
}

}  // namespace
}  // namespace karat::allocate
