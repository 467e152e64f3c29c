#include "exec/sampler.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>

namespace karat::exec {
namespace {

const std::vector<float> kLogits = {1.0f, 3.0f, 2.0f, 3.0f, -1.0f, 9.0f};
constexpr int64_t kUsable = 5;  // the last entry is padding

std::map<int32_t, double> shares(const SamplerOptions& options, int draws = 20000) {
  std::map<int32_t, double> share;
  for (int i = 0; i < draws; ++i) {
    SamplerOptions one = options;
    one.seed = static_cast<uint64_t>(i);
    share[Sampler(one).next(kLogits, kUsable)] += 1.0 / draws;
  }
  return share;
}

TEST(Sampler, GreedyTakesTheFirstMaximumAndNeverPadding) {
  Sampler sampler({.temperature = 0});
  EXPECT_EQ(sampler.next(kLogits, kUsable), 1);
}

TEST(Sampler, DrawsFollowTheSoftmaxAtTheTemperature) {
  const SamplerOptions options{.temperature = 2, .top_k = 0, .top_p = 1};
  double total = 0;
  for (int i = 0; i < kUsable; ++i) total += std::exp(kLogits[static_cast<size_t>(i)] / 2.0);
  auto share = shares(options);
  for (int32_t i = 0; i < kUsable; ++i) {
    const double p = std::exp(kLogits[static_cast<size_t>(i)] / 2.0) / total;
    // Five standard deviations of a share over 20000 draws.
    EXPECT_NEAR(share[i], p, 5 * std::sqrt(p * (1 - p) / 20000)) << i;
  }
}

TEST(Sampler, TopKKeepsTheLargest) {
  const auto share = shares({.top_k = 2, .top_p = 1}, 500);
  EXPECT_EQ(share.size(), 2u);
  EXPECT_TRUE(share.count(1) && share.count(3));
}

TEST(Sampler, TopPKeepsTheSmallestSetThatReachesIt) {
  // Probabilities: 3, 3 -> 0.394 each; 2 -> 0.145; 1 -> 0.053; -1 -> 0.007.
  EXPECT_EQ(shares({.top_k = 0, .top_p = 0.5}, 500).size(), 2u);
  EXPECT_EQ(shares({.top_k = 0, .top_p = 0.8}, 500).size(), 3u);
}

TEST(Sampler, MinPIsAShareOfTheLargest) {
  EXPECT_EQ(shares({.top_k = 0, .top_p = 1, .min_p = 0.3}, 500).size(), 3u);  // e^-1 = 0.37
  EXPECT_EQ(shares({.top_k = 0, .top_p = 1, .min_p = 0.4}, 500).size(), 2u);
}

TEST(Sampler, PresencePenaltyIsTakenOnceFromSeenTokens) {
  Sampler sampler({.temperature = 0, .presence_penalty = 1.5});
  EXPECT_EQ(sampler.next(kLogits, kUsable), 1);
  EXPECT_EQ(sampler.next(kLogits, kUsable), 3);
  EXPECT_EQ(sampler.next(kLogits, kUsable), 2);  // 3 - 1.5 twice, 2
  EXPECT_EQ(sampler.next(kLogits, kUsable), 1);  // 1.5, 0.5, 1.5 and 1: the lower id
}

TEST(Sampler, SameSeedSameTokens) {
  Sampler a({.seed = 7}), b({.seed = 7}), c({.seed = 8});
  bool differs = false;
  for (int i = 0; i < 50; ++i) {
    const int32_t x = a.next(kLogits, kUsable);
    EXPECT_EQ(x, b.next(kLogits, kUsable));
    differs = differs || x != c.next(kLogits, kUsable);
  }
  EXPECT_TRUE(differs);
}

}  // namespace
}  // namespace karat::exec
