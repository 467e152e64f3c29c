#include "base/rng.h"

#include <gtest/gtest.h>

namespace karat::base {
namespace {

// The sequence of SplitMix64 for seed 1234567, as its authors' reference program prints it.
TEST(Rng, KnownSequence) {
  Rng rng(1234567);
  EXPECT_EQ(rng.next(), 6457827717110365317u);
  EXPECT_EQ(rng.next(), 3203168211198807973u);
  EXPECT_EQ(rng.next(), 9817491932198370423u);
  EXPECT_EQ(rng.next(), 4593380528125082431u);
  EXPECT_EQ(rng.next(), 16408922859458223821u);
}

TEST(Rng, UniformAndBelowStayInRange) {
  Rng rng(1);
  double sum = 0;
  for (int i = 0; i < 10000; ++i) {
    const double x = rng.uniform();
    ASSERT_GE(x, 0.0);
    ASSERT_LT(x, 1.0);
    ASSERT_LT(rng.below(7), 7u);
    sum += x;
  }
  // The mean of n uniform numbers has standard deviation 1 / sqrt(12 n) = 0.0029; 5 of them.
  EXPECT_NEAR(sum / 10000, 0.5, 0.0145);
}

}  // namespace
}  // namespace karat::base
