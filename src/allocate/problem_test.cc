#include "allocate/problem.h"

#include <gtest/gtest.h>

namespace karat::allocate {
namespace {

TEST(Problem, SumsAndRange) {
  Problem problem;
  problem.items = {{{3, 1.5}, {1, 4}}, {{10, 0.25}}};
  const Assignment assignment = assignment_of(problem, {1, 0});
  EXPECT_EQ(assignment.bytes, 11u);
  EXPECT_EQ(assignment.cost, 4.25);
  EXPECT_EQ(bytes_min(problem), 11u);
  EXPECT_EQ(bytes_max(problem), 13u);
}

}  // namespace
}  // namespace karat::allocate
