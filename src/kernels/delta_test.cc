#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <vector>

#include "base/rng.h"
#include "kernels/dispatch.h"
#include "support/buffers.h"
#include "support/tracked.h"

namespace karat::kernels {
namespace {

using test::Floats;
using test::Tracked;

using Rule = void (*KernelTable::*)(const DeltaArgs&) noexcept;
constexpr Rule kRules[] = {&KernelTable::delta_recurrent, &KernelTable::delta_chunked};

struct Output {
  Floats o, state;
};

// A head with keys and queries of unit length, gates as the model's: g < 0, beta in (0, 1).
struct Sequence {
  int64_t tokens, dk, dv, ldq, ldk, ldv, ld_gate, ldo;
  Floats q, k, v, g, beta, state;

  Sequence(int64_t rows, int64_t keys, int64_t values, base::Rng& rng)
      : tokens(rows),
        dk(keys),
        dv(values),
        ldq(keys + pad(rng)),
        ldk(keys + pad(rng)),
        ldv(values + pad(rng)),
        ld_gate(1 + pad(rng)),
        ldo(values + pad(rng)),
        q(rows * ldq, 1),
        k(rows * ldk, 2),
        v(rows * ldv, 3),
        g(rows * ld_gate),
        beta(rows * ld_gate),
        state(keys * values, 1) {
    for (Floats* f : {&q, &k, &v, &g, &beta, &state}) test::fill_random(*f, rng);
    const KernelTable& t = table_named("scalar");
    for (int64_t i = 0; i < rows; ++i) {
      t.l2_norm(&q[i * ldq], 1e-6F, 0.3F, dk, &q[i * ldq]);
      t.l2_norm(&k[i * ldk], 1e-6F, 1.0F, dk, &k[i * ldk]);
      g[i * ld_gate] = static_cast<float>(-3 * rng.uniform() * rng.uniform());
      beta[i * ld_gate] = static_cast<float>(rng.uniform());
    }
  }

  Output run(const KernelTable& t, Rule rule) const { return run(t, rule, {tokens}); }

  // In consecutive calls of the given numbers of tokens.
  Output run(const KernelTable& t, Rule rule, const std::vector<int64_t>& pieces) const {
    Output out{Floats(tokens * ldo, 2), state};
    Floats scratch(delta_scratch_floats(dk, dv), 1);
    int64_t at = 0;
    for (const int64_t piece : pieces) {
      (t.*rule)({&q[at * ldq], &k[at * ldk], &v[at * ldv], &g[at * ld_gate], &beta[at * ld_gate],
                 out.o.data() + at * ldo, out.state.data(), ldq, ldk, ldv, ld_gate, ldo, piece, dk,
                 dv, scratch.data()});
      at += piece;
    }
    EXPECT_TRUE(out.o.intact() && out.state.intact() && scratch.intact()) << t.name;
    return out;
  }

 private:
  static int64_t pad(base::Rng& rng) { return static_cast<int64_t>(rng.below(3)); }
};

void expect_same(const Sequence& s, const Output& a, const Output& b, const char* what) {
  ASSERT_TRUE(test::same_bits(a.state, b.state)) << what << " state " << s.dk << "x" << s.dv;
  for (int64_t t = 0; t < s.tokens; ++t) {
    ASSERT_TRUE(test::same_bits(&a.o[t * s.ldo], &b.o[t * s.ldo], s.dv))
        << what << " token " << t << " of " << s.tokens << ", " << s.dk << "x" << s.dv;
  }
}

std::vector<Sequence> sequences() {
  base::Rng rng(51);
  std::vector<Sequence> all;
  const int64_t shapes[][2] = {{1, 1},   {2, 3},  {8, 8},   {16, 16},
                               {17, 33}, {5, 40}, {24, 48}, {32, 65}};
  for (const auto& shape : shapes) {
    for (const int64_t tokens : {1, 2, 5, 21}) all.emplace_back(tokens, shape[0], shape[1], rng);
  }
  for (const int64_t tokens : {63, 64, 65, 130}) all.emplace_back(tokens, 12, 20, rng);
  all.emplace_back(70, 128, 128, rng);
  return all;
}

TEST(Delta, AllTablesAgreeBitForBit) {
  for (const Sequence& s : sequences()) {
    for (const Rule rule : kRules) {
      const Output expected = s.run(table_named("scalar"), rule);
      for (const KernelTable* t : supported_tables()) {
        expect_same(s, s.run(*t, rule), expected, t->name);
      }
    }
  }
}

TEST(Delta, SpecialValuesAgreeToo) {
  base::Rng rng(52);
  for (int round = 0; round < 12; ++round) {
    Sequence s(9 + round * 7, 10, 37, rng);
    for (Floats* f : {&s.v, &s.state}) test::fill_mixed(*f, rng);
    s.g[0] = -200.0F;
    if (round % 3 == 0) test::fill_mixed(s.g, rng);
    if (round % 3 == 1) test::fill_mixed(s.k, rng);
    for (const Rule rule : kRules) {
      const Output expected = s.run(table_named("scalar"), rule);
      for (const KernelTable* t : supported_tables()) {
        expect_same(s, s.run(*t, rule), expected, t->name);
      }
    }
  }
}

TEST(Delta, SplittingTheTokensChangesNothing) {
  base::Rng rng(53);
  const Sequence s(150, 20, 40, rng);
  for (const KernelTable* t : supported_tables()) {
    const Output whole = s.run(*t, &KernelTable::delta_recurrent);
    expect_same(s, s.run(*t, &KernelTable::delta_recurrent, {1, 2, 64, 0, 33, 50}), whole, t->name);
    const Output chunks = s.run(*t, &KernelTable::delta_chunked);
    expect_same(s, s.run(*t, &KernelTable::delta_chunked, {64, 0, 64, 22}), chunks, t->name);
  }
}

struct Exact {
  std::vector<Tracked> o, state;  // [tokens, dv], [dk, dv]
};

// The recurrence as it is written, token by token.
Exact exact_recurrent(const Sequence& s) {
  Exact e;
  for (int64_t i = 0; i < s.dk * s.dv; ++i) e.state.emplace_back(s.state[i]);
  const auto at = [&](int64_t i, int64_t c) -> Tracked& {
    return e.state[static_cast<size_t>(i * s.dv + c)];
  };
  for (int64_t t = 0; t < s.tokens; ++t) {
    const Tracked decay = test::exp(s.g[t * s.ld_gate]);
    for (int64_t c = 0; c < s.dv; ++c) {
      test::TrackedSum read;
      for (int64_t i = 0; i < s.dk; ++i) {
        at(i, c) = at(i, c) * decay;
        read.add(at(i, c), s.k[t * s.ldk + i]);
      }
      const Tracked delta =
          Tracked(s.beta[t * s.ld_gate]) * (Tracked(s.v[t * s.ldv + c]) - read.chain());
      test::TrackedSum out;
      for (int64_t i = 0; i < s.dk; ++i) {
        test::TrackedSum write;
        write.add(at(i, c), 1.0);
        write.add(s.k[t * s.ldk + i], delta);
        at(i, c) = write.total(1);  // one fma
        out.add(at(i, c), s.q[t * s.ldq + i]);
      }
      e.o.push_back(out.chain());
    }
  }
  return e;
}

// The chunked form with the roundings of its kernel; the sums over tokens run through at most C
// terms plus the start value, those over the key dimension through dk.
class ExactChunk {
 public:
  ExactChunk(const Sequence& s, int64_t from, int64_t count, std::vector<Tracked>& state)
      : s_(s), from_(from), n_(count), state_(state) {
    Tracked total = 0.0;
    for (int64_t i = 0; i < n_; ++i) {
      total = i == 0 ? Tracked(gate(i)) : total + Tracked(gate(i));
      log_decay_.push_back(total);
    }
    solve();
  }

  Tracked output(int64_t i, int64_t c) const {
    test::TrackedSum mixed;
    mixed.add(read(s_.q, s_.ldq, i, c) * test::exp(log_decay_[idx(i)]), 1.0);
    for (int64_t j = 0; j <= i; ++j) {
      mixed.add(dot(s_.q, s_.ldq, i, j) * decay_between(i, j), writes_[idx(j * s_.dv + c)]);
    }
    return mixed.total(kDeltaChunk + 1);
  }

  void advance() {
    const Tracked last = log_decay_.back();
    std::vector<Tracked> next;
    for (int64_t l = 0; l < s_.dk; ++l) {
      for (int64_t c = 0; c < s_.dv; ++c) {
        test::TrackedSum sum;
        sum.add(state_[idx(l * s_.dv + c)] * test::exp(last), 1.0);
        for (int64_t j = 0; j < n_; ++j) {
          const Tracked weight = test::exp(last - log_decay_[idx(j)]);
          sum.add(s_.k[(from_ + j) * s_.ldk + l], weight * writes_[idx(j * s_.dv + c)]);
        }
        next.push_back(sum.chain());
      }
    }
    state_ = next;
  }

 private:
  static size_t idx(int64_t i) { return static_cast<size_t>(i); }
  float gate(int64_t i) const { return s_.g[(from_ + i) * s_.ld_gate]; }

  Tracked decay_between(int64_t i, int64_t j) const {
    return test::exp(log_decay_[idx(i)] - log_decay_[idx(j)]);
  }

  // S^T row, for a row of q or k.
  Tracked read(const Floats& rows, int64_t ld, int64_t i, int64_t c) const {
    test::TrackedSum sum;
    for (int64_t l = 0; l < s_.dk; ++l) {
      sum.add(rows[(from_ + i) * ld + l], state_[idx(l * s_.dv + c)]);
    }
    return sum.chain();
  }

  Tracked dot(const Floats& rows, int64_t ld, int64_t i, int64_t j) const {
    test::TrackedSum sum;
    for (int64_t l = 0; l < s_.dk; ++l) {
      sum.add(rows[(from_ + i) * ld + l], s_.k[(from_ + j) * s_.ldk + l]);
    }
    return sum.lanes();
  }

  void solve() {
    for (int64_t i = 0; i < n_; ++i) {
      const Tracked beta = s_.beta[(from_ + i) * s_.ld_gate];
      std::vector<Tracked> row;
      for (int64_t j = 0; j < i; ++j) {
        row.push_back(beta * dot(s_.k, s_.ldk, i, j) * decay_between(i, j));
      }
      for (int64_t c = 0; c < s_.dv; ++c) {
        const Tracked value = s_.v[(from_ + i) * s_.ldv + c];
        test::TrackedSum sum;
        sum.add(beta * (value - test::exp(log_decay_[idx(i)]) * read(s_.k, s_.ldk, i, c)), 1.0);
        for (int64_t j = 0; j < i; ++j) {
          Tracked minus = row[idx(j)];
          minus.value = -minus.value;
          sum.add(minus, writes_[idx(j * s_.dv + c)]);
        }
        writes_.push_back(sum.chain());
      }
    }
  }

  const Sequence& s_;
  int64_t from_, n_;
  std::vector<Tracked>& state_;
  std::vector<Tracked> log_decay_;
  std::vector<Tracked> writes_;  // [n, dv]
};

Exact exact_chunked(const Sequence& s) {
  Exact e;
  for (int64_t i = 0; i < s.dk * s.dv; ++i) e.state.emplace_back(s.state[i]);
  for (int64_t t = 0; t < s.tokens; t += kDeltaChunk) {
    const int64_t count = std::min(kDeltaChunk, s.tokens - t);
    ExactChunk chunk(s, t, count, e.state);
    for (int64_t i = 0; i < count; ++i) {
      for (int64_t c = 0; c < s.dv; ++c) e.o.push_back(chunk.output(i, c));
    }
    chunk.advance();
  }
  return e;
}

void expect_covered(const Sequence& s, const Output& computed, const Exact& exact) {
  for (int64_t t = 0; t < s.tokens; ++t) {
    for (int64_t c = 0; c < s.dv; ++c) {
      const Tracked& e = exact.o[static_cast<size_t>(t * s.dv + c)];
      ASSERT_TRUE(e.covers(computed.o[t * s.ldo + c]))
          << "token " << t << " of " << s.tokens << ", " << s.dk << "x" << s.dv << ": "
          << computed.o[t * s.ldo + c] << " against " << e.value << " +- " << e.error;
    }
  }
  for (int64_t i = 0; i < s.dk * s.dv; ++i) {
    const Tracked& e = exact.state[static_cast<size_t>(i)];
    ASSERT_TRUE(e.covers(computed.state[i]))
        << "state " << i << " after " << s.tokens << ": " << computed.state[i] << " against "
        << e.value << " +- " << e.error;
  }
}

TEST(Delta, RecurrentIsWithinTheRoundingBound) {
  for (const Sequence& s : sequences()) {
    expect_covered(s, s.run(table_named("scalar"), &KernelTable::delta_recurrent),
                   exact_recurrent(s));
  }
}

TEST(Delta, ChunkedIsWithinTheRoundingBound) {
  for (const Sequence& s : sequences()) {
    expect_covered(s, s.run(table_named("scalar"), &KernelTable::delta_chunked), exact_chunked(s));
  }
}

// The two formulations are the same function: their exact values agree to double precision, and the
// sum of their bounds covers the distance of the computed values.
TEST(Delta, ChunkedEqualsRecurrent) {
  for (const Sequence& s : sequences()) {
    const Exact a = exact_recurrent(s);
    const Exact b = exact_chunked(s);
    for (size_t i = 0; i < a.o.size(); ++i) ASSERT_NEAR(a.o[i].value, b.o[i].value, 1e-12) << i;
    for (size_t i = 0; i < a.state.size(); ++i) {
      ASSERT_NEAR(a.state[i].value, b.state[i].value, 1e-12) << i;
    }
  }
}

// Three tokens with printed results, to the digits given; keys and queries are normalised first.
TEST(Delta, WorkedExample) {
  float k[] = {3, 4, 1, 0, 1, 1};
  float q[] = {1, 2, 0, 1, 2, 1};
  const float v[] = {1, -1, 2, 0.5F, -1, 3};
  const float a[] = {0.5F, -1, 2};
  const float b[] = {0, 1, -1};
  const float dt[] = {-0.2F, -0.2F, -0.2F};
  const float a_log = -std::exp(0.3F);
  const float rate[] = {a_log, a_log, a_log};
  const double expected_g[] = {-1.153258952, -0.355394157, -2.636244029};
  const double expected_beta[] = {0.5, 0.731058579, 0.268941421};
  const double expected_o[] = {0.347850501,  -0.347850501, 0.198243541,
                               -0.198243541, -0.12170035,  0.548619521};
  const double expected_state[] = {-0.098716864, 0.592367191, -0.18741661, 0.550153045};
  // Half a unit of the ninth decimal, plus fewer than 64 roundings of values below 4.
  constexpr double kBound = 5e-10 + 64 * test::kUnit * 4;
  for (const KernelTable* t : supported_tables()) {
    float g[3];
    float beta[3];
    t->delta_gate(a, dt, rate, 3, g);
    t->sigmoid(b, 3, beta);
    float key[6];
    float query[6];
    for (int i = 0; i < 3; ++i) {
      t->l2_norm(k + 2 * i, 1e-6F, 1.0F, 2, key + 2 * i);
      t->l2_norm(q + 2 * i, 1e-6F, std::sqrt(0.5F), 2, query + 2 * i);
      EXPECT_NEAR(static_cast<double>(g[i]), expected_g[i], kBound) << t->name;
      EXPECT_NEAR(static_cast<double>(beta[i]), expected_beta[i], kBound) << t->name;
    }
    for (const Rule rule : kRules) {
      float state[4] = {};
      float o[6];
      std::vector<float> scratch(static_cast<size_t>(delta_scratch_floats(2, 2)));
      (t->*rule)({query, key, v, g, beta, o, state, 2, 2, 2, 1, 2, 3, 2, 2, scratch.data()});
      for (int i = 0; i < 6; ++i) {
        EXPECT_NEAR(static_cast<double>(o[i]), expected_o[i], kBound) << t->name << " o " << i;
      }
      for (int i = 0; i < 4; ++i) {
        EXPECT_NEAR(static_cast<double>(state[i]), expected_state[i], kBound)
            << t->name << " S " << i;
      }
    }
  }
}

}  // namespace
}  // namespace karat::kernels
