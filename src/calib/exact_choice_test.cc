#include "calib/exact_choice.h"

#include <gtest/gtest.h>

#include "base/rng.h"

namespace karat::calib {
namespace {

int64_t sum_of(const std::vector<int64_t>& lengths, const ExactChoice& choice) {
  int64_t sum = 0;
  for (size_t i = 0; i < choice.whole.size(); ++i) {
    EXPECT_TRUE(i == 0 || choice.whole[i - 1] < choice.whole[i]);
    sum += lengths.at(choice.whole[i]);
  }
  return sum;
}

TEST(ExactChoice, FindsASumThatGreedWouldMiss) {
  const std::vector<int64_t> lengths = {7, 5, 4, 3};
  const ExactChoice choice = choose_exactly(lengths, 12);
  EXPECT_EQ(choice.missing, 0);
  EXPECT_EQ(choice.whole, (std::vector<size_t>{0, 1}));
  EXPECT_EQ(choose_exactly(lengths, 8).whole, (std::vector<size_t>{1, 3}));
  EXPECT_EQ(choose_exactly(lengths, 19).missing, 0);
}

TEST(ExactChoice, ComesAsCloseAsItCan) {
  const std::vector<int64_t> lengths = {10, 10, 10};
  EXPECT_EQ(choose_exactly(lengths, 25).missing, 5);
  EXPECT_EQ(choose_exactly(lengths, 9).missing, 9);
  EXPECT_EQ(choose_exactly(lengths, 100).missing, 70);
  EXPECT_EQ(choose_exactly({}, 3).missing, 3);
  EXPECT_EQ(choose_exactly(lengths, 0).missing, 0);
}

// Many budgets over many lengths: the sum is the budget, and the first sequences are in it.
TEST(ExactChoice, LargeBudgetsAreMetAndKeepTheOrder) {
  base::Rng rng(11);
  std::vector<int64_t> lengths;
  int64_t total = 0;
  for (int i = 0; i < 3000; ++i) {
    lengths.push_back(1 + static_cast<int64_t>(rng.below(900)));
    total += lengths.back();
  }
  for (int64_t budget = 100'003; budget < total; budget += 99'991) {
    const ExactChoice choice = choose_exactly(lengths, budget);
    EXPECT_EQ(choice.missing, 0);
    EXPECT_EQ(sum_of(lengths, choice), budget);
    EXPECT_EQ(choice.whole[100], 100u);
  }
}

// More sequences than any fixed number of candidates fill the tail, and a set that exists is found.
TEST(ExactChoice, ShortSequencesFillTheTailAsWell) {
  const std::vector<int64_t> tens(100'000, 10), ones(100'000, 1);
  EXPECT_EQ(choose_exactly(tens, 50'000).missing, 0);
  EXPECT_EQ(choose_exactly(tens, 50'007).missing, 7);
  EXPECT_EQ(choose_exactly(ones, 16'385).missing, 0);
  std::vector<int64_t> pairs(60'000, 2);
  pairs.back() = 3;
  EXPECT_EQ(choose_exactly(pairs, 60'002).missing, 0);
}

// A budget far above the text takes no memory for what is missing.
TEST(ExactChoice, TooLittleTextIsTakenWhole) {
  const ExactChoice choice = choose_exactly(std::vector<int64_t>{3, 4}, int64_t{1} << 62);
  EXPECT_EQ(choice.whole, (std::vector<size_t>{0, 1}));
  EXPECT_EQ(choice.missing, (int64_t{1} << 62) - 7);
}

}  // namespace
}  // namespace karat::calib
