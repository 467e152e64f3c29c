// The searches against the reference encoders' searches (gguf.md 3.1 and 3.3), written here
// plainly, on random blocks under the weights that those minimize.
#include "codec/search.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <vector>

#include "base/half.h"
#include "base/rng.h"

namespace karat::codec {
namespace {

constexpr int kElems = 256;
using Block = std::array<float, kElems>;

float nearest(float value) { return std::nearbyint(value); }

struct Affine {
  float step = 0;
  float offset = 0;
};

// QKX(n, nmax, x, w, -0.9, 0.05, 36).
Affine reference_affine(const float* x, const float* w, int n, int code_max) {
  const float high = *std::max_element(x, x + n);
  float low = std::min(*std::min_element(x, x + n), 0.0F);
  if (high <= low) return {0, -low};
  const float range = high - low;
  const float top = static_cast<float>(code_max);
  float step = range / top;
  const auto error_of = [&](float inverse, float from, Affine grid) {
    double error = 0;
    for (int i = 0; i < n; ++i) {
      const float code = std::clamp(nearest(inverse * (x[i] - from)), 0.0F, top);
      const double e = grid.step * code - grid.offset - x[i];
      error += w[i] * e * e;
    }
    return error;
  };
  double best = error_of(1 / step, low, {step, -low});
  for (int k = 0; k <= 36; ++k) {
    const float inverse = (-0.9F + 0.05F * static_cast<float>(k) + top) / range;
    double sw = 0, sx = 0, sl = 0, sll = 0, sxl = 0;
    for (int i = 0; i < n; ++i) {
      const double code = std::clamp(nearest(inverse * (x[i] - low)), 0.0F, top);
      sw += w[i];
      sx += w[i] * x[i];
      sl += w[i] * code;
      sll += w[i] * code * code;
      sxl += w[i] * code * x[i];
    }
    const double det = sw * sll - sl * sl;
    if (det <= 0) continue;
    double new_step = (sw * sxl - sx * sl) / det;
    double new_low = (sll * sx - sl * sxl) / det;
    if (new_low > 0) {
      new_low = 0;
      new_step = sxl / sll;
    }
    const Affine grid{static_cast<float>(new_step), static_cast<float>(-new_low)};
    const double error = error_of(inverse, low, grid);
    if (error < best) {
      best = error;
      step = grid.step;
      low = -grid.offset;
    }
  }
  return {step, -low};
}

// QP(n, nmax, x, w): fills the codes, returns the scale.
float reference_positive(const std::vector<float>& x, const std::vector<float>& w, int code_max,
                         std::vector<float>& codes) {
  const float top = static_cast<float>(code_max);
  const float largest = *std::max_element(x.begin(), x.end());
  codes.assign(x.size(), 0);
  if (largest <= 0) return 0;
  double best = INFINITY;
  float best_inverse = top / largest;
  for (int t = -4; t <= 4; ++t) {
    const float inverse = (top + 0.1F * static_cast<float>(t)) / largest;
    double error = 0;
    for (size_t i = 0; i < x.size(); ++i) {
      const double e = x[i] - std::min(top, nearest(inverse * x[i])) / inverse;
      error += w[i] * e * e;
    }
    if (error < best) {
      best = error;
      best_inverse = inverse;
    }
  }
  double a = 0, b = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    codes[i] = std::min(top, nearest(best_inverse * x[i]));
    a += w[i] * x[i] * codes[i];
    b += w[i] * codes[i] * codes[i];
  }
  for (int sweep = 0; sweep < 5; ++sweep) {
    bool changed = false;
    for (size_t i = 0; i < x.size(); ++i) {
      const double without_a = a - w[i] * x[i] * codes[i];
      const double without_b = b - w[i] * codes[i] * codes[i];
      if (without_a <= 0 || without_b <= 0) continue;
      const float code = std::min(top, nearest(static_cast<float>(x[i] * without_b / without_a)));
      const double new_a = without_a + w[i] * x[i] * code;
      const double new_b = without_b + w[i] * code * code;
      if (code != codes[i] && new_a * new_a * b > a * a * new_b) {
        codes[i] = code;
        a = new_a;
        b = new_b;
        changed = true;
      }
    }
    if (!changed) break;
  }
  return b > 0 ? static_cast<float>(a / b) : 0;
}

// Q4_K and Q5_K with importance.
Grid reference_affine_grid(const Block& x, const Block& w, int code_max) {
  std::vector<float> steps, offsets, weights, scales, mins;
  for (int s = 0; s < 8; ++s) {
    const Affine fit = reference_affine(&x[static_cast<size_t>(32 * s)],
                                        &w[static_cast<size_t>(32 * s)], 32, code_max);
    steps.push_back(fit.step);
    offsets.push_back(fit.offset);
    float sum = 0;
    for (int i = 0; i < 32; ++i) sum += w[static_cast<size_t>(32 * s + i)];
    weights.push_back(sum);
  }
  const float d =
      base::f16_to_f32(base::f32_to_f16(reference_positive(steps, weights, 63, scales)));
  const float dmin =
      base::f16_to_f32(base::f32_to_f16(reference_positive(offsets, weights, 63, mins)));
  Grid grid;
  for (size_t s = 0; s < 8; ++s) {
    grid.step[s] = d * scales[s];
    grid.offset[s] = dmin * mins[s];
  }
  return grid;
}

// QX(16, 32): the signed scale.
float reference_symmetric(const float* x, const float* w) {
  float extreme = 0;
  for (int i = 0; i < 16; ++i) {
    if (std::fabs(x[i]) > std::fabs(extreme)) extreme = x[i];
  }
  if (extreme == 0) return 0;
  double best = 0;
  float scale = 0;
  for (int t = -9; t <= 9; ++t) {
    const float inverse = -(32 + 0.1F * static_cast<float>(t)) / extreme;
    double a = 0, b = 0;
    for (int i = 0; i < 16; ++i) {
      const double code = std::clamp(nearest(inverse * x[i]), -32.0F, 31.0F);
      a += w[i] * x[i] * code;
      b += w[i] * code * code;
    }
    if (b > 0 && a * a > best * b) {
      best = a * a / b;
      scale = static_cast<float>(a / b);
    }
  }
  return scale;
}

Grid reference_symmetric_grid(const Block& x, const Block& w) {
  std::array<float, 16> scales;
  float extreme = 0;
  for (size_t s = 0; s < 16; ++s) {
    scales[s] = reference_symmetric(&x[16 * s], &w[16 * s]);
    if (std::fabs(scales[s]) > std::fabs(extreme)) extreme = scales[s];
  }
  Grid grid;
  if (extreme == 0) return grid;
  const float inverse = -128 / extreme;
  const float d = base::f16_to_f32(base::f32_to_f16(1 / inverse));
  for (size_t s = 0; s < 16; ++s) grid.step[s] = d * std::min(127.0F, nearest(inverse * scales[s]));
  return grid;
}

// Under the grid with every element at its nearest code.
double grid_error(const Grid& grid, const Block& x, const Block& w, int sub_elems, float low,
                  float high) {
  double error = 0;
  for (size_t i = 0; i < kElems; ++i) {
    const size_t s = i / static_cast<size_t>(sub_elems);
    const float step = grid.step[s];
    const float code =
        step != 0 ? std::clamp(nearest((x[i] + grid.offset[s]) / step), low, high) : 0;
    const double e = static_cast<double>(step * code - grid.offset[s]) - static_cast<double>(x[i]);
    error += static_cast<double>(w[i]) * e * e;
  }
  return error;
}

struct Sample {
  Block x;
  Block w;
};

// Of several kinds: normal, heavy-tailed, sparse, per-sub-block scales, shifted; weights from equal
// to spread over five decades.
Sample random_sample(base::Rng& rng, int kind) {
  const auto normal = [&] {
    double sum = 0;
    for (int i = 0; i < 12; ++i) sum += rng.uniform();
    return sum - 6;
  };
  Sample sample;
  double scale = 0.02;
  for (size_t i = 0; i < kElems; ++i) {
    if (kind == 3 && i % 32 == 0) scale = 0.02 * std::exp(2 * normal());
    double value = scale * normal();
    if (kind == 1) value /= std::sqrt(rng.uniform() + 0.01);
    if (kind == 2 && rng.below(4) != 0) value = 0;
    if (kind == 4) value += 0.05;
    sample.x[i] = static_cast<float>(value);
    sample.w[i] = static_cast<float>(std::exp(static_cast<double>(kind % 3) * normal()));
  }
  return sample;
}

// Single blocks may go either way (two local searches); a row, let alone a tensor, may not. Rows
// here are of 16 blocks.
struct Comparison {
  double worst = 0;
  double log_sum = 0;
  int worse = 0;
  int count = 0;
  double row_ours = 0;
  double row_reference = 0;
  void add(double ours, double reference) {
    ASSERT_GT(reference, 0);
    const double ratio = ours / reference;
    worst = std::max(worst, ratio);
    log_sum += std::log(ratio);
    worse += ratio > 1;
    row_ours += ours;
    row_reference += reference;
    if (++count % 16 != 0) return;
    EXPECT_LT(row_ours, row_reference) << "row " << count / 16;
    row_ours = row_reference = 0;
  }
  void print(const char* name, int kind) const {
    std::printf("%s kind %d: error ours / reference %.4f, worst block %.4f, worse in %d of %d\n",
                name, kind, std::exp(log_sum / count), worst, worse, count);
  }
};

TEST(Search, Affine) {
  for (const int code_max : {15, 31}) {
    for (int kind = 0; kind < 5; ++kind) {
      base::Rng rng(static_cast<uint64_t>(kind));
      Comparison comparison;
      for (int block = 0; block < 400; ++block) {
        const Sample sample = random_sample(rng, kind);
        const Grid ours = search_affine({sample.x.data(), sample.w.data(), 8, 32}, code_max, 63);
        const Grid reference = reference_affine_grid(sample.x, sample.w, code_max);
        const float high = static_cast<float>(code_max);
        comparison.add(grid_error(ours, sample.x, sample.w, 32, 0, high),
                       grid_error(reference, sample.x, sample.w, 32, 0, high));
      }
      comparison.print(code_max == 15 ? "q4_K" : "q5_K", kind);
    }
  }
}

TEST(Search, Symmetric) {
  for (int kind = 0; kind < 5; ++kind) {
    base::Rng rng(static_cast<uint64_t>(kind));
    Comparison comparison;
    for (int block = 0; block < 400; ++block) {
      const Sample sample = random_sample(rng, kind);
      const Grid ours = search_symmetric({sample.x.data(), sample.w.data(), 16, 16}, 32, 128);
      const Grid reference = reference_symmetric_grid(sample.x, sample.w);
      comparison.add(grid_error(ours, sample.x, sample.w, 16, -32, 31),
                     grid_error(reference, sample.x, sample.w, 16, -32, 31));
    }
    comparison.print("q6_K", kind);
  }
}

TEST(Search, Single) {
  // Against d = max|x| / 127, the reference's Q8_0.
  for (int kind = 0; kind < 5; ++kind) {
    base::Rng rng(static_cast<uint64_t>(kind));
    Comparison comparison;
    for (int block = 0; block < 400; ++block) {
      const Sample sample = random_sample(rng, kind);
      double ours = 0;
      double reference = 0;
      for (size_t i = 0; i < kElems; i += 32) {
        const Grid grid = search_single({&sample.x[i], &sample.w[i], 1, 32}, 128);
        float largest = 0;
        for (size_t k = i; k < i + 32; ++k) largest = std::max(largest, std::fabs(sample.x[k]));
        const float d = largest / 127;
        const float stored = base::f16_to_f32(base::f32_to_f16(d));
        for (size_t k = i; k < i + 32; ++k) {
          const float x = sample.x[k];
          const double w = static_cast<double>(sample.w[k]);
          const float step = grid.step[0];
          const float code = step != 0 ? std::clamp(nearest(x / step), -128.0F, 127.0F) : 0;
          ours += w * std::pow(static_cast<double>(step * code - x), 2);
          const float reference_code = d != 0 ? std::round(x / d) : 0;
          reference += w * std::pow(static_cast<double>(stored * reference_code - x), 2);
        }
      }
      comparison.add(ours, reference);
    }
    comparison.print("q8_0", kind);
  }
}

TEST(Search, NothingIsStoredForZeros) {
  const Block zeros = {};
  Block ones;
  ones.fill(1);
  const BlockProblem problem{zeros.data(), ones.data(), 8, 32};
  const Grid affine = search_affine(problem, 15, 63);
  EXPECT_EQ(affine.d, 0);
  EXPECT_EQ(affine.dmin, 0);
  const Grid symmetric = search_symmetric({zeros.data(), ones.data(), 16, 16}, 32, 128);
  EXPECT_EQ(symmetric.d, 0);
  EXPECT_EQ(search_single({zeros.data(), ones.data(), 1, 32}, 128).d, 0);
}

// Steps and offsets are what the stored fields decode to, and the fields are in range.
TEST(Search, GridsAreConsistent) {
  base::Rng rng(99);
  for (int block = 0; block < 200; ++block) {
    const Sample sample = random_sample(rng, block % 5);
    const Grid affine = search_affine({sample.x.data(), sample.w.data(), 8, 32}, 15, 63);
    for (size_t s = 0; s < 8; ++s) {
      ASSERT_TRUE(affine.scale[s] >= 0 && affine.scale[s] <= 63);
      ASSERT_TRUE(affine.min[s] >= 0 && affine.min[s] <= 63);
      ASSERT_EQ(affine.step[s], base::f16_to_f32(affine.d) * affine.scale[s]);
      ASSERT_EQ(affine.offset[s], base::f16_to_f32(affine.dmin) * affine.min[s]);
    }
    const Grid symmetric = search_symmetric({sample.x.data(), sample.w.data(), 16, 16}, 32, 128);
    for (size_t s = 0; s < 16; ++s) {
      ASSERT_TRUE(symmetric.scale[s] >= -128 && symmetric.scale[s] <= 127);
      ASSERT_EQ(symmetric.step[s], base::f16_to_f32(symmetric.d) * symmetric.scale[s]);
      ASSERT_EQ(symmetric.offset[s], 0);
    }
  }
}

}  // namespace
}  // namespace karat::codec
