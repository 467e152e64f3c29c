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

TEST(Codebook, SearchesAreTheSameBitsEverywhere) {
  for (uint64_t seed = 0; seed < 40; ++seed) {
    const Sample sample = random_sample(256, seed);
    const BlockProblem problem{sample.x.data(), sample.w.data(), 8, 32};
    const BlockProblem single{sample.x.data(), sample.w.data(), 1, 32};
    alignas(64) std::array<float, 16> steps;
    for (size_t i = 0; i < 16; ++i) steps[i] = 1e-4F * (static_cast<float>(i) - 5);  // with a zero
    const CodecTable& scalar = table_for(simd::Isa::scalar);
    const BlockChoice want = scalar.search_codebook(iq4_book(), problem, 32);
    for (const simd::Isa isa : simd::supported()) {
      const CodecTable& t = table_for(isa);
      const BlockChoice got = t.search_codebook(iq4_book(), problem, 32);
      EXPECT_EQ(got.d, want.d) << simd::name_of(isa);
      EXPECT_TRUE(std::equal(got.scale, got.scale + 8, want.scale)) << simd::name_of(isa);
      EXPECT_EQ(t.search_codebook_single(iq4_book(), single).d,
                scalar.search_codebook_single(iq4_book(), single).d);
      EXPECT_EQ(t.least_step(iq4_book(), sample.x.data(), sample.w.data(), 32, steps.data()),
                scalar.least_step(iq4_book(), sample.x.data(), sample.w.data(), 32, steps.data()));
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
    const Grid grid = search_codebook_single(iq4_book(), {sample.x.data(), sample.w.data(), 1, 32});
    ours += single_error(sample, base::f16_to_f32(grid.d));
    best += least;
  }
  std::printf("error / least possible: %.4f\n", ours / best);
  EXPECT_LT(ours / best, 1.02);
}

TEST(Codebook, BestStepIsTheFirstOfTheLeast) {
  std::vector<float> x(16, 3.0F);
  x[1] = 6;
  x[2] = 12;
  x[15] = 24;
  const std::vector<float> w(16, 1.0F);
  const float steps[] = {5, 1, 3, 3, 0};
  EXPECT_EQ(best_step(fp4_book(), x.data(), w.data(), 16, steps), 2U);
}

}  // namespace
}  // namespace karat::codec
