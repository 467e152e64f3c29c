#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

#include "base/half.h"
#include "base/rng.h"
#include "kernels/dispatch.h"
#include "support/buffers.h"
#include "support/tracked.h"

namespace karat::kernels {
namespace {

using test::Buffer;
using test::Floats;

// One product with padding columns in every operand, the same values in each weight format.
struct Case {
  int64_t m, n, k;
  int64_t ldx, ldw, ldy;
  Floats x, w, w_bf16_values, w_f16_values;
  Buffer<uint16_t> w_bf16, w_f16;

  Case(int64_t rows, int64_t cols, int64_t depth, int64_t pad, base::Rng& rng)
      : m(rows),
        n(cols),
        k(depth),
        ldx(depth + pad),
        ldw(depth + 2 * pad),
        ldy(cols + pad),
        x(m * ldx, pad),
        w(n * ldw, pad),
        w_bf16_values(n * ldw),
        w_f16_values(n * ldw),
        w_bf16(n * ldw, pad),
        w_f16(n * ldw, pad) {
    test::fill_random(x, rng);
    test::fill_random(w, rng);
    derive();
  }

  void derive() {
    for (int64_t i = 0; i < w.size(); ++i) {
      w_bf16[i] = base::f32_to_bf16(w[i]);
      w_f16[i] = base::f32_to_f16(w[i]);
      w_bf16_values[i] = base::bf16_to_f32(w_bf16[i]);
      w_f16_values[i] = base::f16_to_f32(w_f16[i]);
    }
  }

  Floats f32(const KernelTable& t, const Floats& weights) const {
    Floats y(m * ldy, 1);
    test::fill_random(y, unused_);
    t.gemm_f32({x.data(), ldx, m, weights.data(), ldw, n, k, y.data(), ldy});
    EXPECT_TRUE(y.intact()) << t.name;
    return y;
  }

  Floats half(const KernelTable& t, bool bf16) const {
    Floats y(m * ldy, 1);
    test::fill_random(y, unused_);
    (bf16 ? t.gemm_bf16 : t.gemm_f16)(
        {x.data(), ldx, m, (bf16 ? w_bf16 : w_f16).data(), ldw, n, k, y.data(), ldy});
    EXPECT_TRUE(y.intact()) << t.name;
    return y;
  }

  // Only the outputs; what lies between the rows of y must not change.
  void expect_equal(const Floats& a, const Floats& b, const char* name) const {
    for (int64_t i = 0; i < m; ++i) {
      ASSERT_TRUE(test::same_bits(&a[i * ldy], &b[i * ldy], n))
          << name << " row " << i << " of " << m << "x" << n << "x" << k;
    }
  }

 private:
  mutable base::Rng unused_{1};
};

std::vector<Case> cases() {
  base::Rng rng(11);
  std::vector<Case> all;
  for (int64_t m : {1, 2, 3, 5, 7, 13}) {
    for (int64_t n : {1, 3, 4, 9, 18}) {
      const int64_t k = static_cast<int64_t>(rng.below(70)) + 1;
      all.emplace_back(m, n, k, static_cast<int64_t>(rng.below(4)), rng);
    }
  }
  for (int64_t k : {0, 1, 15, 16, 17, 31, 32, 64, 257, 1024}) all.emplace_back(7, 5, k, 1, rng);
  return all;
}

TEST(Gemm, AllTablesAgreeBitForBit) {
  const KernelTable& scalar = table_named("scalar");
  for (const Case& c : cases()) {
    const Floats f32 = c.f32(scalar, c.w);
    const Floats bf16 = c.half(scalar, true);
    const Floats f16 = c.half(scalar, false);
    for (const KernelTable* t : supported_tables()) {
      c.expect_equal(c.f32(*t, c.w), f32, t->name);
      c.expect_equal(c.half(*t, true), bf16, t->name);
      c.expect_equal(c.half(*t, false), f16, t->name);
    }
  }
}

TEST(Gemm, SpecialValuesAgreeToo) {
  base::Rng rng(12);
  const KernelTable& scalar = table_named("scalar");
  for (int64_t k : {5, 33, 100}) {
    Case c(7, 9, k, 1, rng);
    test::fill_mixed(c.x, rng);
    test::fill_bits(c.w, rng);
    c.derive();
    for (const KernelTable* t : supported_tables()) {
      c.expect_equal(c.f32(*t, c.w), c.f32(scalar, c.w), t->name);
      c.expect_equal(c.half(*t, true), c.half(scalar, true), t->name);
      c.expect_equal(c.half(*t, false), c.half(scalar, false), t->name);
    }
  }
}

TEST(Gemm, HalfWeightsAreWidenedExactly) {
  for (const Case& c : cases()) {
    for (const KernelTable* t : supported_tables()) {
      c.expect_equal(c.half(*t, true), c.f32(*t, c.w_bf16_values), t->name);
      c.expect_equal(c.half(*t, false), c.f32(*t, c.w_f16_values), t->name);
    }
  }
}

// The order of the contract: lane k % 16, then l and l + 8, l + 4, l + 2, l + 1. Written here
// without the kernels' vocabulary.
float dot_by_contract(const float* x, const float* w, int64_t k) {
  float lane[16] = {};
  for (int64_t i = 0; i < k; ++i) lane[i % 16] = std::fma(x[i], w[i], lane[i % 16]);
  for (int half = 8; half > 0; half /= 2) {
    for (int l = 0; l < half; ++l) lane[l] = lane[l] + lane[l + half];
  }
  return lane[0];
}

TEST(Gemm, OrderOfAdditionIsTheContracts) {
  for (const Case& c : cases()) {
    for (const KernelTable* t : supported_tables()) {
      const Floats y = c.f32(*t, c.w);
      for (int64_t i = 0; i < c.m; ++i) {
        for (int64_t j = 0; j < c.n; ++j) {
          const float expected = dot_by_contract(&c.x[i * c.ldx], &c.w[j * c.ldw], c.k);
          ASSERT_EQ(y[i * c.ldy + j], expected) << t->name << " " << i << "," << j << " k=" << c.k;
        }
      }
    }
  }
}

TEST(Gemm, AnOutputDoesNotDependOnItsNeighbours) {
  base::Rng rng(13);
  const Case c(14, 11, 75, 0, rng);
  for (const KernelTable* t : supported_tables()) {
    const Floats whole = c.f32(*t, c.w);
    for (int64_t i = 0; i < c.m; ++i) {
      for (int64_t j = 0; j < c.n; ++j) {
        float one = 0;
        t->gemm_f32({&c.x[i * c.ldx], c.ldx, 1, &c.w[j * c.ldw], c.ldw, 1, c.k, &one, 1});
        ASSERT_EQ(one, whole[i * c.ldy + j]) << t->name << " " << i << "," << j;
      }
    }
  }
}

// Shapes on both sides of every block size: rows around a tile, half a block and a block; depths of
// one and several blocks, whole and not.
TEST(Gemm, Blocks) {
  base::Rng rng(14);
  for (const int64_t m : {1, 2, 3, 4, 5, 6, 8, 23, 24, 47, 48, 49, 67}) {
    for (const int64_t k : {512, 1024, 1031, 2048, 2059, 4113}) {
      const Case c(m, 5 + m % 5, k, 1, rng);
      for (const KernelTable* t : supported_tables()) {
        if (t == supported_tables().back() && m * k > 20000) continue;
        const Floats y = c.f32(*t, c.w);
        const Floats bf16 = c.half(*t, true);
        for (int64_t i = 0; i < c.m; ++i) {
          for (int64_t j = 0; j < c.n; ++j) {
            const float* x = &c.x[i * c.ldx];
            ASSERT_EQ(y[i * c.ldy + j], dot_by_contract(x, &c.w[j * c.ldw], k))
                << t->name << " m=" << m << " k=" << k;
            ASSERT_EQ(bf16[i * c.ldy + j], dot_by_contract(x, &c.w_bf16_values[j * c.ldw], k))
                << t->name << " m=" << m << " k=" << k;
          }
        }
      }
    }
  }
}

// Products of bf16 pairs: see KernelTable::gemm_bf16_pairs.
struct Pairs {
  int64_t m, n, k, ldx, ldw;
  Buffer<uint16_t> x, w;

  Pairs(int64_t rows, int64_t cols, int64_t depth, int64_t pad)
      : m(rows),
        n(cols),
        k(depth),
        ldx(depth + pad),
        ldw(depth + 2 * pad),
        x(m * ldx, pad),
        w(n * ldw, pad) {}

  Floats run(const KernelTable& t) const {
    Floats y(m * n, 1);
    t.gemm_bf16_pairs({x.data(), ldx, m, w.data(), ldw, n, k, y.data(), n});
    EXPECT_TRUE(y.intact()) << t.name;
    return y;
  }
  float value(const Buffer<uint16_t>& b, int64_t i) const { return base::bf16_to_f32(b[i]); }
  float by_contract(int64_t i, int64_t j) const {
    float lane[16] = {};
    for (int64_t pair = 0; pair < (k + 1) / 2; ++pair) {
      for (const int64_t l : {2 * pair + 1, 2 * pair}) {
        if (l >= k) continue;
        float& sum = lane[pair % 16];
        sum = std::fma(value(x, i * ldx + l), value(w, j * ldw + l), sum);
      }
    }
    for (int half = 8; half > 0; half /= 2) {
      for (int l = 0; l < half; ++l) lane[l] = lane[l] + lane[l + half];
    }
    return lane[0];
  }
};

TEST(GemmPairs, OrderOfAdditionIsTheContracts) {
  base::Rng rng(15);
  for (const int64_t m : {1, 2, 5, 6, 7, 13, 24, 49}) {
    for (const int64_t k : {1, 2, 15, 31, 32, 33, 64, 97, 1056, 2081}) {
      Pairs c(m, 3 + m % 7, k, m % 3);
      for (Buffer<uint16_t>* b : {&c.x, &c.w}) {
        for (int64_t i = 0; i < b->size(); ++i) {
          (*b)[i] = base::f32_to_bf16(static_cast<float>(rng.uniform() * 2 - 1));
        }
      }
      for (const KernelTable* t : supported_tables()) {
        if (t == supported_tables().back() && m * k > 20000) continue;
        const Floats y = c.run(*t);
        for (int64_t i = 0; i < c.m * c.n; ++i) {
          ASSERT_EQ(y[i], c.by_contract(i / c.n, i % c.n)) << t->name << " " << m << " " << k;
        }
      }
    }
  }
}

// Denormals, infinities and NaNs among any bit patterns.
TEST(GemmPairs, AnyBitsAgree) {
  base::Rng rng(16);
  for (const bool tiny : {false, true}) {
    Pairs c(9, 8, 75, 1);
    for (Buffer<uint16_t>* b : {&c.x, &c.w}) {
      for (int64_t i = 0; i < b->size(); ++i) {
        const auto bits = static_cast<uint16_t>(rng.next());
        // Exponents whose products are near the smallest normal number, on both sides.
        (*b)[i] =
            tiny ? static_cast<uint16_t>((bits & 0x80ffU) | (0x1e80U + (bits & 0x0300U))) : bits;
      }
    }
    const Floats expected = c.run(table_named("scalar"));
    for (const KernelTable* t : supported_tables()) {
      EXPECT_TRUE(test::same_bits(c.run(*t), expected)) << t->name << " tiny " << tiny;
    }
  }
}

TEST(Gemm, ScalarIsWithinTheRoundingBound) {
  for (const Case& c : cases()) {
    const Floats y = c.f32(table_named("scalar"), c.w);
    for (int64_t i = 0; i < c.m; ++i) {
      for (int64_t j = 0; j < c.n; ++j) {
        test::TrackedSum exact;
        for (int64_t l = 0; l < c.k; ++l) exact.add(c.x[i * c.ldx + l], c.w[j * c.ldw + l]);
        ASSERT_TRUE(exact.lanes().covers(y[i * c.ldy + j])) << i << "," << j << " k=" << c.k;
      }
    }
  }
}

TEST(Gemm, NothingToDo) {
  for (const KernelTable* t : supported_tables()) {
    float y = 7;
    t->gemm_f32({nullptr, 4, 0, nullptr, 4, 3, 4, &y, 3});
    t->gemm_f32({nullptr, 4, 3, nullptr, 4, 0, 4, &y, 0});
    EXPECT_EQ(y, 7.0F) << t->name;
    t->gemm_f32({nullptr, 0, 1, nullptr, 0, 1, 0, &y, 1});
    EXPECT_EQ(y, 0.0F) << t->name;
  }
}

}  // namespace
}  // namespace karat::kernels
