#include "codec/codebook.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/half.h"
#include "base/rng.h"
#include "codec/table.h"

namespace karat::codec {
namespace {

std::vector<float> iq4_levels() { return {kIq4Levels.begin(), kIq4Levels.end()}; }
std::vector<float> fp4_levels() { return {kFp4Levels.begin(), kFp4Levels.begin() + 8}; }

float distance_to_list(const std::vector<float>& levels, float t) {
  float least = INFINITY;
  for (const float level : levels) least = std::min(least, std::fabs(level - t));
  return least;
}

TEST(Codebook, NearestLevelIsTheNearestOfTheList) {
  for (int i = -150 * 64; i <= 150 * 64; ++i) {
    const float t = static_cast<float>(i) / 64;
    for (const float near : {t, std::nextafter(t, -1e9F), std::nextafter(t, 1e9F)}) {
      const float iq4 = nearest_level(iq4_book(), near);
      ASSERT_EQ(std::fabs(iq4 - near), distance_to_list(iq4_levels(), near)) << near;
      if (near < 0) continue;
      const float fp4 = nearest_level(fp4_book(), near);
      ASSERT_EQ(std::fabs(fp4 - near), distance_to_list(fp4_levels(), near)) << near;
    }
  }
  for (const float t : {1e6F, 1e30F, INFINITY}) {
    EXPECT_EQ(nearest_level(iq4_book(), t), 113);
    EXPECT_EQ(nearest_level(iq4_book(), -t), -127);
    EXPECT_EQ(nearest_level(fp4_book(), t), 12);
  }
}

struct Sample {
  std::vector<float> x;
  std::vector<float> w;
};

Sample random_sample(size_t n, uint64_t seed) {
  base::Rng rng(seed);
  Sample sample;
  for (size_t i = 0; i < n; ++i) {
    double sum = 0;
    for (int k = 0; k < 12; ++k) sum += rng.uniform();
    sample.x.push_back(static_cast<float>(0.02 * (sum - 6) / std::sqrt(rng.uniform() + 0.05)));
    sample.w.push_back(static_cast<float>(std::exp(4 * rng.uniform() - 2)));
  }
  return sample;
}

TEST(Codebook, LevelSumsAreTheSameBitsEverywhereAndTheSumsTheyClaim) {
  for (const int n : {1, 16, 31, 32}) {
    const Sample sample = random_sample(static_cast<size_t>(n), 3);
    std::array<float, 16> steps;
    for (size_t i = 0; i < 16; ++i) steps[i] = 1e-4F * (static_cast<float>(i) - 5);  // with a zero
    LevelSums expected;
    const auto scalar = table_for(simd::Isa::scalar).level_sums;
    scalar(iq4_book(), sample.x.data(), sample.w.data(), n, steps.data(), expected);
    for (const simd::Isa isa : simd::supported()) {
      LevelSums sums;
      table_for(isa).level_sums(iq4_book(), sample.x.data(), sample.w.data(), n, steps.data(),
                                sums);
      EXPECT_EQ(sums.error, expected.error) << simd::name_of(isa);
      EXPECT_EQ(sums.xl, expected.xl) << simd::name_of(isa);
      EXPECT_EQ(sums.ll, expected.ll) << simd::name_of(isa);
    }
    for (size_t lane = 0; lane < 16; ++lane) {
      double error = 0, xl = 0, ll = 0, size = 0;
      for (size_t i = 0; i < sample.x.size(); ++i) {
        const double x = static_cast<double>(sample.x[i]);
        const double w = static_cast<double>(sample.w[i]);
        const float inverse = steps[lane] != 0 ? 1 / steps[lane] : 0;
        const double level = static_cast<double>(nearest_level(iq4_book(), sample.x[i] * inverse));
        error += w * std::pow(x - static_cast<double>(steps[lane]) * level, 2);
        xl += w * x * level;
        ll += w * level * level;
        size += w * std::fabs(x * level);
      }
      // n additions of terms with at most four roundings each.
      const double u = (n + 4) * 0x1p-24;
      EXPECT_NEAR(static_cast<double>(expected.xl[lane]), xl, u * size);
      EXPECT_NEAR(static_cast<double>(expected.ll[lane]), ll, u * ll);
      // The differences round, too, by half an ulp of x or of its value each.
      EXPECT_NEAR(static_cast<double>(expected.error[lane]), error, 4 * u * error + 1e-13);
    }
  }
}

double single_error(const Sample& sample, float d) {
  double sum = 0;
  for (size_t i = 0; i < sample.x.size(); ++i) {
    const float level = d != 0 ? nearest_level(iq4_book(), sample.x[i] / d) : 0;
    const double error = static_cast<double>(sample.x[i]) - static_cast<double>(d * level);
    sum += static_cast<double>(sample.w[i]) * error * error;
  }
  return sum;
}

// Against every half that could matter: the search misses the optimum by little, and rarely.
TEST(Codebook, SingleStepsAreNearlyTheBestOfAllHalves) {
  double ours = 0;
  double best = 0;
  for (uint64_t seed = 0; seed < 60; ++seed) {
    const Sample sample = random_sample(32, seed);
    float largest = 0;
    for (const float x : sample.x) largest = std::max(largest, std::fabs(x));
    double least = INFINITY;
    const int last = base::f32_to_f16(largest / 40);
    for (int half = base::f32_to_f16(largest / 200); half <= last; ++half) {
      const float d = base::f16_to_f32(static_cast<uint16_t>(half));
      least = std::min({least, single_error(sample, d), single_error(sample, -d)});
    }
    const uint16_t d = search_codebook_single(iq4_book(), sample.x.data(), sample.w.data(), 32);
    ours += single_error(sample, base::f16_to_f32(d));
    best += least;
  }
  std::printf("error / least possible: %.4f\n", ours / best);
  EXPECT_LT(ours / best, 1.02);
}

TEST(Codebook, BestStepIsTheFirstOfTheLeast) {
  const float x[] = {3, 6, 12, 24};
  const float w[] = {1, 1, 1, 1};
  const float steps[] = {5, 1, 3, 3, 0};
  EXPECT_EQ(best_step(fp4_book(), x, w, 4, steps), 2U);
}

}  // namespace
}  // namespace karat::codec
