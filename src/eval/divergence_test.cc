#include "eval/divergence.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/rng.h"

namespace karat::eval {
namespace {

TEST(CompareRows, KnownDistributions) {
  // p = (1/2, 1/4, 1/4), q = (1/4, 1/4, 1/2), given as logits with different offsets.
  const float l2 = std::log(2.0f);
  const std::vector<float> p = {5 + l2, 5, 5}, q = {-3, -3, -3 + l2};
  const TokenDivergence t = compare_rows(q, p, 2, false);
  // ln 2 is rounded to a float (2^-25 relative) before both rows are normalised.
  EXPECT_NEAR(t.kld, 0.5 * std::log(2.0) + 0.25 * std::log(0.5), 1e-6);
  EXPECT_NEAR(t.p, 0.5, 1e-6);
  EXPECT_NEAR(t.p_base, 0.25, 1e-6);
  EXPECT_NEAR(t.nll, std::log(2.0), 1e-6);
  EXPECT_NEAR(t.nll_base, std::log(4.0), 1e-6);
  EXPECT_FALSE(t.same_top);
}

TEST(CompareRows, IsNotSymmetric) {
  const std::vector<float> p = {0, 1, 4}, q = {3, 1, 0};
  const double forward = compare_rows(q, p, 0, false).kld,
               backward = compare_rows(p, q, 0, false).kld;
  double expected = 0;
  const double zp = std::exp(0.) + std::exp(1.) + std::exp(4.),
               zq = std::exp(3.) + std::exp(1.) + 1;
  for (int i = 0; i < 3; ++i) {
    const double lp = p[static_cast<size_t>(i)] - std::log(zp),
                 lq = q[static_cast<size_t>(i)] - std::log(zq);
    expected += std::exp(lp) * (lp - lq);
  }
  EXPECT_NEAR(forward, expected, 1e-14);
  EXPECT_GT(std::abs(forward - backward), 0.1);
}

TEST(CompareRows, SameRowsDivergeByNothing) {
  const std::vector<float> p = {0.3f, -2, 7, 7};
  const TokenDivergence t = compare_rows(p, p, 1, false);
  EXPECT_EQ(t.kld, 0);
  EXPECT_TRUE(t.same_top);
}

TEST(CompareRows, TailIsSkippedOnlyOnRequest) {
  const std::vector<float> p = {0, -20}, q = {0, 20};
  EXPECT_GT(compare_rows(q, p, 0, false).kld - compare_rows(q, p, 0, true).kld, -1);
  EXPECT_NE(compare_rows(q, p, 0, false).kld, compare_rows(q, p, 0, true).kld);
}

std::vector<TokenDivergence> random_tokens(int chunks, int per_chunk) {
  base::Rng rng(11);
  std::vector<TokenDivergence> tokens;
  for (int i = 0; i < chunks * per_chunk; ++i) {
    TokenDivergence t;
    t.kld = rng.uniform();
    t.nll_base = 3 * rng.uniform();
    t.nll = t.nll_base + 0.1 * (rng.uniform() - 0.4);
    t.p = std::exp(-t.nll), t.p_base = std::exp(-t.nll_base);
    t.same_top = rng.uniform() < 0.9;
    tokens.push_back(t);
  }
  return tokens;
}

TEST(Summarize, ErrorOfTheRatioIsThatOfThePairedDifferences) {
  const auto tokens = random_tokens(8, 25);
  const DivergenceResult r = summarize_divergence(tokens, 8, 0);
  std::vector<double> difference;
  for (const TokenDivergence& t : tokens) difference.push_back(t.nll - t.nll_base);
  const Estimate direct = mean_of(difference);
  EXPECT_NEAR(r.ln_ratio.value, direct.value, 1e-12);
  EXPECT_NEAR(r.ln_ratio.error, direct.error, 1e-12);
  EXPECT_NEAR(r.ratio.value, std::exp(direct.value), 1e-12);
  EXPECT_NEAR(r.ppl.value / r.ppl_base.value, r.ratio.value, 1e-12);
  EXPECT_GT(r.correlation, 0.9);
}

TEST(Summarize, ChunkMeansAverageToTheMean) {
  const DivergenceResult r = summarize_divergence(random_tokens(8, 25), 8, 0);
  double sum = 0;
  for (const double kld : r.chunk_kld) sum += kld / 8;
  EXPECT_NEAR(sum, r.kld.value, 1e-12);
  EXPECT_LT(r.kld_interval.low, r.kld.value);
  EXPECT_GT(r.kld_interval.high, r.kld.value);
  EXPECT_EQ(r.kld_percentiles.front().first, 100);
  EXPECT_GE(r.kld_percentiles.front().second, r.kld_percentiles[1].second);
}

}  // namespace
}  // namespace karat::eval
