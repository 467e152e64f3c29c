#include "model/attend.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <vector>

#include "base/rng.h"
#include "kernels/dispatch.h"
#include "support/buffers.h"
#include "support/tracked.h"

namespace karat::model {
namespace {

using kernels::KernelTable;
using kernels::supported_tables;
using kernels::table_named;
using tensor::DType;
using test::Floats;
using test::Tracked;

// Two K/V heads of which the second is attended to, by one query unless more are asked for.
struct Head {
  int64_t length, dim;
  float scale;
  Floats q, k, v;
  CacheRows keys, values;

  Head(int64_t rows, int64_t width, double size, base::Rng& rng, CacheTypes types = {},
       int64_t queries = 1)
      : length(rows),
        dim(width),
        scale(static_cast<float>(1 / std::sqrt(static_cast<double>(width)))),
        q(queries * width, 1),
        k(rows * 2 * width),
        v(rows * 2 * width),
        keys(types.k, 2 * width, width),
        values(types.v, 2 * width, width) {
    test::fill_random(q, rng, size);
    test::fill_random(k, rng, size);
    test::fill_random(v, rng);
    store();
  }

  // Puts k and v into the caches.
  void store() {
    keys.resize(length), values.resize(length);
    for (int64_t t = 0; t < length; ++t) {
      keys.set(t, k.data() + t * 2 * dim);
      values.set(t, v.data() + t * 2 * dim);
    }
  }

  Floats run(const KernelTable& t, int64_t positions = 1, int64_t heads = 1) const {
    Floats o(positions * heads * dim, 1);
    attend(t, {keys, values, dim, dim, positions, length - positions + 1, heads, scale, q.data(),
               o.data()});
    EXPECT_TRUE(o.intact()) << t.name;
    return o;
  }

  // softmax is invariant under a common shift, so the rounding of the maximum itself does not
  // matter: the kernel subtracts its computed maximum exactly as this does with the exact one, up
  // to a shift.
  std::vector<Tracked> weights() const {
    std::vector<Tracked> scores;
    double top = -1e300;
    for (int64_t t = 0; t < length; ++t) {
      test::TrackedSum dot;
      for (int64_t i = 0; i < dim; ++i) dot.add(q[i], k[(2 * t + 1) * dim + i]);
      scores.push_back(dot.lanes() * Tracked(scale));
      top = std::max(top, scores.back().value);
    }
    test::TrackedSum total;
    for (Tracked& s : scores) {
      s = test::exp(s - Tracked(top));
      total.add(s, 1.0);
    }
    for (Tracked& s : scores) s = s / total.lanes();
    return scores;
  }

  std::vector<Tracked> exact() const {
    const std::vector<Tracked> p = weights();
    std::vector<Tracked> o;
    for (int64_t i = 0; i < dim; ++i) {
      test::TrackedSum sum;
      for (int64_t t = 0; t < length; ++t)
        sum.add(p[static_cast<size_t>(t)], v[(2 * t + 1) * dim + i]);
      o.push_back(sum.chain());
    }
    return o;
  }
};

std::vector<Head> heads() {
  base::Rng rng(41);
  std::vector<Head> all;
  for (const int64_t dim : {1, 8, 16, 24, 33, 64, 130, 256}) {
    for (const int64_t length : {1, 2, 5, 16, 37, 300}) all.emplace_back(length, dim, 3, rng);
  }
  return all;
}

TEST(Attend, AllTablesAgreeBitForBit) {
  for (const Head& head : heads()) {
    const Floats expected = head.run(table_named("scalar"));
    for (const KernelTable* t : supported_tables()) {
      EXPECT_TRUE(test::same_bits(head.run(*t), expected))
          << t->name << " " << head.length << "x" << head.dim;
    }
  }
}

TEST(Attend, SpecialValuesAgreeToo) {
  base::Rng rng(42);
  for (int round = 0; round < 20; ++round) {
    Head head(33, 40, 1, rng);
    for (Floats* f : {&head.q, &head.k, &head.v}) test::fill_mixed(*f, rng);
    if (round % 2 == 0) test::fill_random(head.q, rng, 20);
    if (round % 2 == 0) test::fill_random(head.k, rng, 20);
    head.store();
    const Floats expected = head.run(table_named("scalar"));
    for (const KernelTable* t : supported_tables()) {
      EXPECT_TRUE(test::same_bits(head.run(*t), expected)) << t->name << " round " << round;
    }
  }
}

TEST(Attend, ScalarIsWithinTheRoundingBound) {
  for (const Head& head : heads()) {
    const Floats o = head.run(table_named("scalar"));
    const std::vector<Tracked> exact = head.exact();
    for (int64_t i = 0; i < head.dim; ++i) {
      const Tracked& e = exact[static_cast<size_t>(i)];
      EXPECT_TRUE(e.covers(o[i])) << head.length << "x" << head.dim << " i=" << i << ": " << o[i]
                                  << " against " << e.value << " +- " << e.error;
    }
  }
}

TEST(Attend, OneKeyReturnsItsValue) {
  base::Rng rng(43);
  const Head head(1, 19, 1, rng);
  for (const KernelTable* t : supported_tables()) {
    EXPECT_TRUE(test::same_bits(head.run(*t).data(), head.v.data() + 19, 19)) << t->name;
  }
}

// Positions and heads together are what each is alone.
TEST(Attend, QueriesDoNotNoticeEachOther) {
  base::Rng rng(44);
  constexpr int64_t kHeads = 3, kPositions = 7, kDim = 40;
  for (const int64_t length : {7, 20, 256, 261, 520}) {
    const Head together(length, kDim, 2, rng, {}, kHeads * kPositions);
    const Floats all = together.run(kernels::table(), kPositions, kHeads);
    for (int64_t p = 0; p < kPositions; ++p) {
      for (int64_t h = 0; h < kHeads; ++h) {
        Head alone = together;
        const int64_t at = (p * kHeads + h) * kDim;
        for (int64_t i = 0; i < kDim; ++i) alone.q[i] = together.q[at + i];
        alone.length = length - kPositions + 1 + p;
        const Floats one = alone.run(kernels::table());
        EXPECT_TRUE(test::same_bits(one.data(), all.data() + at, kDim)) << length << " " << p;
      }
    }
  }
}

// A compressed cache attends as one of floats that holds the decoded rows.
TEST(Attend, ReadsCompressedRows) {
  base::Rng rng(45);
  for (const DType type : {DType::f16, DType::bf16, DType::q8_0}) {
    Head head(300, 64, 2, rng, {type, type}, 8);
    const std::vector<float> k = head.keys.values(), v = head.values.values();
    const Floats compressed = head.run(kernels::table(), 2, 4);
    for (int64_t i = 0; i < head.k.size(); ++i) {
      EXPECT_NEAR(k[static_cast<size_t>(i)], head.k[i], 0.05);
      head.k[i] = k[static_cast<size_t>(i)], head.v[i] = v[static_cast<size_t>(i)];
    }
    head.keys = CacheRows(DType::f32, 128, 64), head.values = head.keys;
    head.store();
    EXPECT_TRUE(test::same_bits(head.run(kernels::table(), 2, 4), compressed));
  }
}

}  // namespace
}  // namespace karat::model
