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

struct Head {
  int64_t length, dim, ldk, ldv;
  float scale;
  Floats q, k, v;

  Head(int64_t rows, int64_t width, double size, base::Rng& rng)
      : length(rows),
        dim(width),
        ldk(width + static_cast<int64_t>(rng.below(3))),
        ldv(width + static_cast<int64_t>(rng.below(3))),
        scale(static_cast<float>(1 / std::sqrt(static_cast<double>(width)))),
        q(width, 1),
        k(rows * ldk, 2),
        v(rows * ldv, 3) {
    test::fill_random(q, rng, size);
    test::fill_random(k, rng, size);
    test::fill_random(v, rng);
  }

  Floats run(const KernelTable& t) const {
    Floats o(dim, 1);
    Floats scores(length, 1);
    t.attend({q.data(), k.data(), v.data(), o.data(), scores.data(), ldk, ldv, length, dim, scale});
    EXPECT_TRUE(o.intact()) << t.name;
    EXPECT_TRUE(scores.intact()) << t.name;
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
      for (int64_t i = 0; i < dim; ++i) dot.add(q[i], k[t * ldk + i]);
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
      for (int64_t t = 0; t < length; ++t) sum.add(p[static_cast<size_t>(t)], v[t * ldv + i]);
      o.push_back(sum.chain());
    }
    return o;
  }
};

std::vector<Head> heads() {
  base::Rng rng(41);
  std::vector<Head> all;
  for (const int64_t dim : {1, 8, 16, 24, 33, 64, 130, 256}) {
    for (const int64_t length : {1, 2, 5, 16, 37, 100}) all.emplace_back(length, dim, 3, rng);
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
    EXPECT_TRUE(test::same_bits(head.run(*t).data(), head.v.data(), 19)) << t->name;
  }
}

}  // namespace
}  // namespace karat::kernels
