#include "allocate/lagrange.h"

#include <gtest/gtest.h>

namespace karat::allocate {
namespace {

// Two items with hulls 10 -> 20 -> 40 and 10 -> 30; the choice of 15 bytes lies above the first.
Problem two_items() {
  Problem problem;
  problem.items = {{{10, 8}, {15, 7.9}, {20, 4}, {40, 2}}, {{10, 6}, {30, 3}}};
  return problem;
}

TEST(HullOf, LeavesOutWhatLiesAbove) {
  EXPECT_EQ(hull_of(two_items().items[0]), (std::vector<size_t>{0, 2, 3}));
  EXPECT_EQ(hull_of({{30, 3}, {10, 6}, {40, 3}}), (std::vector<size_t>{1, 0}));
}

TEST(Relax, TakesStepsByWhatTheySavePerByte) {
  Problem problem = two_items();
  problem.budget = 55;
  const Relaxation relaxation = relax(problem);
  // 4 / 10, then 3 / 20, then 2 / 20, of which 5 bytes of 20 fit.
  EXPECT_EQ(relaxation.base, (std::vector<size_t>{2, 1}));
  EXPECT_DOUBLE_EQ(relaxation.price, 0.1);
  EXPECT_DOUBLE_EQ(relaxation.bound, 4 + 3 - 0.5);
  EXPECT_EQ(relaxation.feasible.bytes, 50u);
}

TEST(Relax, WithoutAnyRoomOrWithRoomForAll) {
  Problem problem = two_items();
  problem.budget = 20;
  EXPECT_EQ(relax(problem).feasible.cost, 14);
  problem.budget = 1000;
  const Relaxation all = relax(problem);
  EXPECT_EQ(all.feasible.cost, 5);
  EXPECT_EQ(all.price, 0);
  EXPECT_EQ(all.bound, 5);
}

TEST(Relax, OfEqualSizesTheCheaperIsTaken) {
  Problem problem;
  problem.items = {{{10, 5}, {10, 4}, {20, 4.5}}};
  problem.budget = 30;
  EXPECT_EQ(relax(problem).feasible.choice[0], 1u);
}

}  // namespace
}  // namespace karat::allocate
