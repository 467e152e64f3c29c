#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <vector>

#include "base/half.h"
#include "base/rng.h"
#include "kernels/dispatch.h"
#include "support/buffers.h"
#include "support/tracked.h"

namespace karat::kernels {
namespace {

using test::Floats;
using test::Tracked;

constexpr int64_t kLengths[] = {0, 1, 2, 7, 8, 15, 16, 17, 24, 31, 32, 33, 63, 100, 257};

// Three inputs and the output's initial content; every elementwise kernel is a function of them.
struct Inputs {
  Floats a, b, c, y;
  Inputs(int64_t n, int64_t offset) : a(n, offset), b(n, offset + 1), c(n, offset), y(n, offset) {}
};

using Kernel = std::function<void(const KernelTable&, const Inputs&, int64_t, float* y)>;
using Reference = std::function<Tracked(float a, float b, float c, float y)>;

struct Operation {
  const char* name;
  Kernel run;
  Reference exact;
  bool in_place;  // y may be the first input
};

const std::vector<Operation>& operations() {
  static const std::vector<Operation> list = {
      {"round_bf16",
       [](auto& t, auto& in, int64_t n, float* y) { t.round_bf16(in.a.data(), n, y); },
       [](float a, float, float, float) {
         return Tracked(base::bf16_to_f32(base::f32_to_bf16(a)));
       },
       true},
      {"silu", [](auto& t, auto& in, int64_t n, float* y) { t.silu(in.a.data(), n, y); },
       [](float a, float, float, float) { return test::silu(a); }, true},
      {"silu_mul",
       [](auto& t, auto& in, int64_t n, float* y) { t.silu_mul(in.a.data(), in.b.data(), n, y); },
       [](float a, float b, float, float) { return test::silu(a) * b; }, true},
      {"sigmoid", [](auto& t, auto& in, int64_t n, float* y) { t.sigmoid(in.a.data(), n, y); },
       [](float a, float, float, float) { return test::sigmoid(a); }, true},
      {"sigmoid_mul",
       [](auto& t, auto& in, int64_t n, float* y) {
         t.sigmoid_mul(in.a.data(), in.b.data(), n, y);
       },
       [](float a, float b, float, float) { return test::sigmoid(a) * b; }, true},
      {"delta_gate",
       [](auto& t, auto& in, int64_t n, float* y) {
         t.delta_gate(in.a.data(), in.b.data(), in.c.data(), n, y);
       },
       [](float a, float b, float c, float) {
         return Tracked(c) * test::softplus(Tracked(a) + Tracked(b));
       },
       true},
      {"add", [](auto& t, auto& in, int64_t n, float* y) { t.add(in.a.data(), n, y); },
       [](float a, float, float, float y) { return Tracked(a) + Tracked(y); }, false},
      {"axpy", [](auto& t, auto& in, int64_t n, float* y) { t.axpy(-1.7F, in.a.data(), n, y); },
       [](float a, float, float, float y) {
         return test::rounded(
             static_cast<double>(-1.7F) * static_cast<double>(a) + static_cast<double>(y), 0);
       },
       false},
  };
  return list;
}

Floats output(const Operation& op, const KernelTable& t, const Inputs& in, int64_t n) {
  Floats y = in.y;
  op.run(t, in, n, y.data());
  EXPECT_TRUE(y.intact()) << op.name << " " << t.name;
  return y;
}

template <class Fill>
void expect_tables_agree(Fill fill, uint64_t seed) {
  base::Rng rng(seed);
  for (const int64_t n : kLengths) {
    Inputs in(n, static_cast<int64_t>(rng.below(5)));
    for (Floats* f : {&in.a, &in.b, &in.c, &in.y}) fill(*f, rng);
    for (const Operation& op : operations()) {
      const Floats expected = output(op, table_named("scalar"), in, n);
      for (const KernelTable* t : supported_tables()) {
        EXPECT_TRUE(test::same_bits(output(op, *t, in, n), expected))
            << op.name << " " << t->name << " n=" << n;
      }
    }
  }
}

TEST(Elementwise, AllTablesAgreeBitForBit) {
  expect_tables_agree([](Floats& f, base::Rng& rng) { test::fill_random(f, rng, 8); }, 21);
  expect_tables_agree([](Floats& f, base::Rng& rng) { test::fill_mixed(f, rng); }, 22);
  expect_tables_agree([](Floats& f, base::Rng& rng) { test::fill_bits(f, rng); }, 23);
}

// Every 65,521st float (a prime), NaNs and infinities included, through the functions of one input.
TEST(Elementwise, AllTablesAgreeOverTheWholeRange) {
  constexpr int64_t kCount = 65536;
  Inputs in(kCount, 0);
  for (int64_t i = 0; i < kCount; ++i) {
    in.a[i] = std::bit_cast<float>(static_cast<uint32_t>(i) * 65521U);
    in.b[i] = 0.0F;
    in.c[i] = -1.0F;
    in.y[i] = 0.5F;
  }
  for (const Operation& op : operations()) {
    const Floats expected = output(op, table_named("scalar"), in, kCount);
    for (const KernelTable* t : supported_tables()) {
      EXPECT_TRUE(test::same_bits(output(op, *t, in, kCount), expected))
          << op.name << " " << t->name;
    }
  }
}

TEST(Elementwise, ScalarIsWithinTheRoundingBound) {
  base::Rng rng(24);
  for (const int64_t n : kLengths) {
    Inputs in(n, 1);
    for (Floats* f : {&in.a, &in.b, &in.c, &in.y}) test::fill_random(*f, rng, 25);
    for (const Operation& op : operations()) {
      const Floats y = output(op, table_named("scalar"), in, n);
      for (int64_t i = 0; i < n; ++i) {
        const Tracked exact = op.exact(in.a[i], in.b[i], in.c[i], in.y[i]);
        EXPECT_TRUE(exact.covers(y[i])) << op.name << " " << i << ": " << y[i] << " against "
                                        << exact.value << " +- " << exact.error;
      }
    }
  }
}

TEST(Elementwise, InPlace) {
  base::Rng rng(25);
  for (const Operation& op : operations()) {
    if (!op.in_place) continue;
    Inputs in(77, 0);
    for (Floats* f : {&in.a, &in.b, &in.c, &in.y}) test::fill_random(*f, rng, 5);
    for (const KernelTable* t : supported_tables()) {
      const Floats expected = output(op, *t, in, 77);
      Inputs same = in;
      op.run(*t, same, 77, same.a.data());
      EXPECT_TRUE(test::same_bits(same.a, expected)) << op.name << " " << t->name;
    }
  }
}

TEST(RoundBf16, TiesAndSpecialValues) {
  const float in[] = {std::bit_cast<float>(0x3f808000U), std::bit_cast<float>(0x3f818000U),
                      std::bit_cast<float>(0x3f808001U), std::bit_cast<float>(0x7f7fffffU),
                      std::bit_cast<float>(0x00008000U), std::bit_cast<float>(0x80018000U)};
  const uint32_t out[] = {0x3f800000U, 0x3f820000U, 0x3f810000U,
                          0x7f800000U, 0x00000000U, 0x80020000U};
  for (const KernelTable* t : supported_tables()) {
    float y[6];
    t->round_bf16(in, 6, y);
    for (int i = 0; i < 6; ++i) EXPECT_EQ(std::bit_cast<uint32_t>(y[i]), out[i]) << t->name << i;
    float nan[] = {std::bit_cast<float>(0x7f800001U)};
    t->round_bf16(nan, 1, nan);
    EXPECT_EQ(std::bit_cast<uint32_t>(nan[0]), 0x7fc00000U) << t->name;
  }
}

struct Convolution {
  int64_t taps, channels;
  std::vector<Floats> rows;
  Floats w;

  Convolution(int64_t t, int64_t n, base::Rng& rng)
      : taps(t), channels(n), w(t * n, static_cast<int64_t>(rng.below(3))) {
    for (int64_t j = 0; j < taps; ++j) {
      rows.emplace_back(n, static_cast<int64_t>(rng.below(4)));
      test::fill_random(rows.back(), rng, 3);
    }
    test::fill_random(w, rng, 2);
  }

  Floats run(const KernelTable& t) const {
    std::vector<const float*> pointers;
    for (const Floats& row : rows) pointers.push_back(row.data());
    Floats y(channels, 3);
    t.conv_silu(pointers.data(), w.data(), taps, channels, y.data());
    EXPECT_TRUE(y.intact()) << t.name;
    return y;
  }

  Tracked exact(int64_t c) const {
    test::TrackedSum total;
    for (int64_t j = 0; j < taps; ++j) {
      total.add(w[c * taps + j], rows[static_cast<size_t>(j)][c]);
    }
    return test::silu(total.chain());
  }
};

TEST(ConvSilu, AgreesAndIsWithinTheRoundingBound) {
  base::Rng rng(26);
  for (const int64_t taps : {1, 2, 3, 4, 5, 8}) {
    for (const int64_t n : kLengths) {
      const Convolution c(taps, n, rng);
      const Floats expected = c.run(table_named("scalar"));
      for (int64_t i = 0; i < n; ++i)
        ASSERT_TRUE(c.exact(i).covers(expected[i])) << taps << " " << i;
      for (const KernelTable* t : supported_tables()) {
        EXPECT_TRUE(test::same_bits(c.run(*t), expected)) << t->name << " " << taps << " " << n;
      }
    }
  }
}

TEST(Rope, AgreesAndIsWithinTheRoundingBound) {
  base::Rng rng(27);
  for (const int64_t half : kLengths) {
    Floats x(2 * half, 1);
    Floats cos(half, 2);
    Floats sin(half, 3);
    for (Floats* f : {&x, &cos, &sin}) test::fill_random(*f, rng);
    Floats expected = x;
    table_named("scalar").rope(expected.data(), cos.data(), sin.data(), half);
    for (int64_t i = 0; i < half; ++i) {
      test::TrackedSum first;
      first.add(x[i], cos[i]);
      first.add(-x[i + half], sin[i]);
      test::TrackedSum second;
      second.add(x[i + half], cos[i]);
      second.add(x[i], sin[i]);
      EXPECT_TRUE(first.chain().covers(expected[i])) << half << " " << i;
      EXPECT_TRUE(second.chain().covers(expected[i + half])) << half << " " << i;
    }
    for (const KernelTable* t : supported_tables()) {
      Floats y = x;
      t->rope(y.data(), cos.data(), sin.data(), half);
      EXPECT_TRUE(y.intact());
      EXPECT_TRUE(test::same_bits(y, expected)) << t->name << " " << half;
    }
  }
}

TEST(ToBf16, RoundsAsTheCodecDoes) {
  base::Rng rng(31);
  Floats x(1003);
  test::fill_mixed(x, rng);
  for (const KernelTable* t : supported_tables()) {
    test::Buffer<uint16_t> out(x.size(), 1);
    t->to_bf16(x.data(), x.size(), out.data());
    EXPECT_TRUE(out.intact()) << t->name;
    for (int64_t i = 0; i < x.size(); ++i) ASSERT_EQ(out[i], base::f32_to_bf16(x[i])) << t->name;
  }
}

}  // namespace
}  // namespace karat::kernels
