#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

#include "base/rng.h"
#include "kernels/dispatch.h"
#include "support/buffers.h"
#include "support/tracked.h"

namespace karat::kernels {
namespace {

using test::Floats;
using test::Tracked;

constexpr int64_t kLengths[] = {1, 2, 7, 15, 16, 17, 31, 32, 33, 64, 100, 128, 257, 2048};
constexpr float kEps = 1e-6F;
constexpr float kScale = 0.08838834764F;

struct Rows {
  Floats x, w, z;
  Rows(int64_t n, int64_t offset) : x(n, offset), w(n, offset + 1), z(n, offset + 2) {}
};

enum class Norm { rms, l2, gated, softmax };
constexpr Norm kNorms[] = {Norm::rms, Norm::l2, Norm::gated, Norm::softmax};

void run_into(Norm norm, const KernelTable& t, const Rows& in, float* y) {
  const int64_t n = in.x.size();
  switch (norm) {
    case Norm::rms:
      return t.rms_norm(in.x.data(), in.w.data(), kEps, n, y);
    case Norm::l2:
      return t.l2_norm(in.x.data(), kEps, kScale, n, y);
    case Norm::gated:
      return t.gated_norm(in.x.data(), in.w.data(), in.z.data(), kEps, n, y);
    case Norm::softmax:
      std::memmove(y, in.x.data(), static_cast<size_t>(n) * sizeof *y);
      return t.softmax(y, n, 1.0F);
  }
}

Floats run(Norm norm, const KernelTable& t, const Rows& in) {
  Floats y(in.x.size(), 1);
  run_into(norm, t, in, y.data());
  EXPECT_TRUE(y.intact()) << t.name;
  return y;
}

std::vector<Tracked> exact_softmax(const Floats& x) {
  double top = x[0];
  for (int64_t i = 0; i < x.size(); ++i) top = std::max<double>(top, x[i]);
  std::vector<Tracked> p;
  test::TrackedSum total;
  for (int64_t i = 0; i < x.size(); ++i) {
    p.push_back(test::exp(Tracked(x[i]) - Tracked(top)));
    total.add(p.back(), 1.0);
  }
  for (Tracked& e : p) e = e / total.lanes();
  return p;
}

std::vector<Tracked> exact_norm(Norm norm, const Rows& in) {
  if (norm == Norm::softmax) return exact_softmax(in.x);
  test::TrackedSum squares;
  for (int64_t i = 0; i < in.x.size(); ++i) squares.add(in.x[i], in.x[i]);
  Tracked mean = squares.lanes();
  if (norm != Norm::l2) mean = mean / Tracked(static_cast<double>(in.x.size()));
  const Tracked inverse = Tracked(1) / test::sqrt(mean + Tracked(kEps));
  std::vector<Tracked> y;
  for (int64_t i = 0; i < in.x.size(); ++i) {
    if (norm == Norm::l2) {
      y.push_back(Tracked(in.x[i]) * (inverse * Tracked(kScale)));
      continue;
    }
    y.push_back(Tracked(in.x[i]) * inverse * Tracked(in.w[i]));
    if (norm == Norm::gated) y.back() = y.back() * test::silu(in.z[i]);
  }
  return y;
}

TEST(Norm, AllTablesAgreeBitForBit) {
  base::Rng rng(31);
  for (int round = 0; round < 3; ++round) {
    for (const int64_t n : kLengths) {
      Rows in(n, static_cast<int64_t>(rng.below(4)));
      for (Floats* f : {&in.x, &in.w, &in.z}) {
        if (round == 0) test::fill_random(*f, rng, 5);
        if (round == 1) test::fill_mixed(*f, rng);
        if (round == 2) test::fill_bits(*f, rng);
      }
      for (const Norm norm : kNorms) {
        const Floats expected = run(norm, table_named("scalar"), in);
        for (const KernelTable* t : supported_tables()) {
          EXPECT_TRUE(test::same_bits(run(norm, *t, in), expected))
              << t->name << " norm " << static_cast<int>(norm) << " n=" << n << " round " << round;
        }
      }
    }
  }
}

TEST(Norm, ScalarIsWithinTheRoundingBound) {
  base::Rng rng(32);
  for (const double size : {1e-3, 1.0, 30.0}) {
    for (const int64_t n : kLengths) {
      Rows in(n, 0);
      for (Floats* f : {&in.x, &in.w, &in.z}) test::fill_random(*f, rng, size);
      for (const Norm norm : kNorms) {
        const Floats y = run(norm, table_named("scalar"), in);
        const std::vector<Tracked> exact = exact_norm(norm, in);
        for (int64_t i = 0; i < n; ++i) {
          const Tracked& e = exact[static_cast<size_t>(i)];
          EXPECT_TRUE(e.covers(y[i]))
              << "norm " << static_cast<int>(norm) << " n=" << n << " i=" << i << ": " << y[i]
              << " against " << e.value << " +- " << e.error;
        }
      }
    }
  }
}

TEST(Norm, InPlace) {
  base::Rng rng(33);
  Rows in(83, 1);
  for (Floats* f : {&in.x, &in.w, &in.z}) test::fill_random(*f, rng);
  for (const Norm norm : kNorms) {
    for (const KernelTable* t : supported_tables()) {
      Rows same = in;
      run_into(norm, *t, same, same.x.data());
      EXPECT_TRUE(test::same_bits(same.x, run(norm, *t, in))) << t->name;
    }
  }
}

// Printed values of the formula y = w (o / rms(o)) silu(z), to the digits given.
TEST(GatedNorm, WorkedExample) {
  const float o[] = {1, -2, 0.5F, 3};
  const float w[] = {0.5F, 1, 1.5F, 2};
  const float z[] = {0, 1, -1, 2};
  const double expected[] = {0, -0.774648485, -0.106866469, 5.599891517};
  for (const KernelTable* t : supported_tables()) {
    float y[4];
    t->gated_norm(o, w, z, kEps, 4, y);
    for (int i = 0; i < 4; ++i) {
      // Half a unit of the ninth decimal, and the bound of the longest chain: 6 roundings in the
      // norm's inverse, 3 products, 3 ulp of the sigmoid.
      const double bound = 5e-10 + 16 * test::kUnit * std::abs(expected[i]);
      EXPECT_NEAR(static_cast<double>(y[i]), expected[i], bound) << t->name << " " << i;
    }
  }
}

TEST(Softmax, ExtremeRows) {
  constexpr float kInf = std::numeric_limits<float>::infinity();
  for (const KernelTable* t : supported_tables()) {
    t->softmax(nullptr, 0, 1.0F);
    float masked[] = {-kInf, 3, -kInf, 3};
    t->softmax(masked, 4, 0.5F);
    const float half[] = {0, 0.5F, 0, 0.5F};
    EXPECT_TRUE(test::same_bits(masked, half, 4)) << t->name;
    float large[] = {3e38F, -3e38F};
    t->softmax(large, 2, 1.0F);
    EXPECT_EQ(large[0], 1.0F);
    EXPECT_EQ(large[1], 0.0F);
  }
}

}  // namespace
}  // namespace karat::kernels
