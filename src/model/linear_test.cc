#include "model/linear.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <vector>

#include "base/error.h"
#include "base/rng.h"
#include "codec/codec.h"
#include "kernels/dispatch.h"
#include "kernels/packed.h"
#include "model/activations.h"

namespace karat::model {
namespace {

using tensor::DType;

std::vector<float> random_values(int64_t n, uint64_t seed) {
  base::Rng rng(seed);
  std::vector<float> x(static_cast<size_t>(n));
  for (float& value : x) value = static_cast<float>(rng.uniform() - 0.5);
  return x;
}

// A stack of matrices in a stored type, and what its bytes decode to.
struct Stored {
  Linear linear;
  std::vector<std::byte> bytes;
  std::vector<float> decoded;

  Stored(DType type, int64_t rows, int64_t cols, int64_t experts = 1) {
    const std::vector<float> values = random_values(experts * rows * cols, 5);
    linear = {"w", type, nullptr, rows, cols, experts};
    bytes.resize(static_cast<size_t>(experts * rows * linear.row_bytes()));
    decoded.resize(values.size());
    const codec::Codec& codec = codec::codec_for(type);
    codec.encode_row(values, {}, bytes);
    codec.decode(bytes, decoded);
    linear.data = bytes.data();
  }
};

const Config kConfig;

class Products : public testing::TestWithParam<DType> {};

// Against double; the bound is that of a sum of k terms in 16 lanes (docs/NUMERICS.md).
TEST_P(Products, MatchTheDecodedMatrix) {
  base::ThreadPool pool(2);
  for (const int64_t rows : {1, 3, 300}) {
    const int64_t cols = 256, features = 70, ldx = cols + 5, ldy = features + 3;
    const Stored w(GetParam(), features, cols, 2);
    const std::vector<float> x = random_values(rows * ldx, 6);
    for (const kernels::KernelTable* table : kernels::supported_tables()) {
      const ForwardContext context{kConfig, pool, *table};
      std::vector<float> y(static_cast<size_t>(rows * ldy), -7.0F);
      apply_linear(context, w.linear, 1, x.data(), ldx, rows, y.data(), ldy);
      for (int64_t r = 0; r < rows; ++r) {
        for (int64_t j = 0; j < ldy; ++j) {
          const float seen = y[static_cast<size_t>(r * ldy + j)];
          if (j >= features) {
            ASSERT_EQ(seen, -7.0F);  // nothing is written between the rows
            continue;
          }
          double sum = 0, magnitude = 0;
          for (int64_t k = 0; k < cols; ++k) {
            const double product =
                static_cast<double>(x[static_cast<size_t>(r * ldx + k)]) *
                static_cast<double>(w.decoded[static_cast<size_t>((features + j) * cols + k)]);
            sum += product;
            magnitude += std::fabs(product);
          }
          ASSERT_NEAR(seen, sum, (cols / 16 + 4) * 0x1p-24 * magnitude * 1.001) << r << " " << j;
        }
      }
    }
  }
}

TEST_P(Products, AreTheSameBitsForThreadsAndRowSubsets) {
  const int64_t rows = 290, cols = 512, features = 331;
  const Stored w(GetParam(), features, cols);
  const std::vector<float> x = random_values(rows * cols, 7);
  const auto run = [&](int threads, Activations activations, int64_t first, int64_t count) {
    base::ThreadPool pool(threads);
    ForwardContext context{kConfig, pool, kernels::table()};
    context.options.activations = activations;
    std::vector<float> y(static_cast<size_t>(count * features));
    apply_linear(context, w.linear, 0, x.data() + first * cols, cols, count, y.data(), features);
    return y;
  };
  for (const Activations activations : {Activations::f32, Activations::bf16, Activations::stock}) {
    const std::vector<float> all = run(1, activations, 0, rows);
    EXPECT_EQ(run(2, activations, 0, rows), all);
    EXPECT_EQ(run(7, activations, 0, rows), all);
    const std::vector<float> some = run(3, activations, 100, 5);
    EXPECT_TRUE(std::equal(some.begin(), some.end(), all.begin() + 100 * features));
  }
}

TEST_P(Products, RoundTheirInputs) {
  const int64_t cols = 256;
  const Stored w(GetParam(), 20, cols);
  const std::vector<float> x = random_values(3 * cols, 8);
  base::ThreadPool pool(1);
  for (const Activations activations : {Activations::bf16, Activations::stock}) {
    if (rounding_for(activations, GetParam()) == Rounding::pairs) continue;  // below
    std::vector<float> rounded(x.size());
    for (size_t at = 0; at < x.size(); at += static_cast<size_t>(cols)) {
      round_row(rounding_for(activations, GetParam()), kernels::table(), x.data() + at, cols,
                rounded.data() + at);
    }
    ForwardContext context{kConfig, pool, kernels::table()};
    std::vector<float> expected(60), seen(60);
    apply_linear(context, w.linear, 0, rounded.data(), cols, 3, expected.data(), 20);
    context.options.activations = activations;
    apply_linear(context, w.linear, 0, x.data(), cols, 3, seen.data(), 20);
    EXPECT_EQ(seen, expected);
  }
}

TEST(Pairs, AreTheKernelsProducts) {
  const int64_t rows = 300, cols = 96, features = 40;
  const Stored w(DType::bf16, features, cols, 2);
  const std::vector<float> x = random_values(rows * cols, 9);
  std::vector<uint16_t> rounded(x.size());
  kernels::table().to_bf16(x.data(), rows * cols, rounded.data());
  std::vector<float> expected(static_cast<size_t>(rows * features)), seen(expected);
  kernels::table().gemm_bf16_pairs({rounded.data(), cols, rows,
                                    reinterpret_cast<const uint16_t*>(w.linear.expert(1)), cols,
                                    features, cols, expected.data(), features});
  base::ThreadPool pool(2);
  ForwardContext context{kConfig, pool, kernels::table()};
  context.options.activations = Activations::bf16;
  apply_linear(context, w.linear, 1, x.data(), cols, rows, seen.data(), features);
  EXPECT_EQ(seen, expected);
}

// The same matrices, packed.
Linear packed(const Stored& w, std::vector<std::byte>& bytes) {
  Linear out = w.linear;
  out.layout = Layout::panels;
  bytes.resize(static_cast<size_t>(out.experts * out.expert_bytes()));
  for (int64_t e = 0; e < out.experts; ++e) {
    kernels::pack_rows(out.dtype, w.linear.expert(e), out.rows, out.cols,
                       bytes.data() + e * out.expert_bytes());
  }
  out.data = bytes.data();
  return out;
}

class QuantizedProducts : public testing::TestWithParam<DType> {};

// Beside a float product with the decoded matrix the error is that of rounding x to 127 steps.
TEST_P(QuantizedProducts, AreNearTheDecodedMatrix) {
  base::ThreadPool pool(2);
  const int64_t rows = 30, cols = 512, features = 70;
  const Stored w(GetParam(), features, cols, 3);
  std::vector<std::byte> bytes;
  const Linear linear = packed(w, bytes);
  const std::vector<float> x = random_values(rows * cols, 6);
  ForwardContext context{kConfig, pool, kernels::table()};
  context.options.activations = Activations::q8;
  std::vector<float> y(static_cast<size_t>(rows * features));
  apply_linear(context, linear, 2, x.data(), cols, rows, y.data(), features);
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t j = 0; j < features; ++j) {
      double sum = 0, bound = 0;
      for (int64_t k = 0; k < cols; ++k) {
        const auto value =
            static_cast<double>(w.decoded[static_cast<size_t>((2 * features + j) * cols + k)]);
        sum += static_cast<double>(x[static_cast<size_t>(r * cols + k)]) * value;
        bound += std::fabs(value) * 0.5 / 127 / 2;  // |x| <= 1/2, half a step
      }
      ASSERT_NEAR(y[static_cast<size_t>(r * features + j)], sum, bound * 1.01) << r << " " << j;
    }
  }
}

TEST_P(QuantizedProducts, AreTheSameBitsForThreadsAndRowSubsets) {
  const int64_t rows = 390, cols = 256, features = 75;
  const Stored w(GetParam(), features, cols);
  std::vector<std::byte> bytes;
  const Linear linear = packed(w, bytes);
  const std::vector<float> x = random_values(rows * cols, 7);
  const auto run = [&](const kernels::KernelTable& table, int threads, int64_t first,
                       int64_t count) {
    base::ThreadPool pool(threads);
    ForwardContext context{kConfig, pool, table};
    context.options.activations = Activations::q8;
    std::vector<float> y(static_cast<size_t>(count * features));
    apply_linear(context, linear, 0, x.data() + first * cols, cols, count, y.data(), features);
    return y;
  };
  const std::vector<float> all = run(kernels::table_named("scalar"), 1, 0, rows);
  for (const kernels::KernelTable* table : kernels::supported_tables()) {
    for (const int threads : {1, 2, 7}) EXPECT_EQ(run(*table, threads, 0, rows), all);
    for (const int64_t count : {1, 5, 16, 200}) {
      const std::vector<float> some = run(*table, 3, 100, count);
      EXPECT_TRUE(std::equal(some.begin(), some.end(), all.begin() + 100 * features)) << count;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Types, QuantizedProducts,
                         testing::Values(DType::q8_0, DType::q4_k, DType::q6_k, DType::iq4_xs),
                         [](const auto& type) {
                           return std::string(tensor::info(type.param).name);
                         });

INSTANTIATE_TEST_SUITE_P(Types, Products,
                         testing::Values(DType::f32, DType::bf16, DType::f16, DType::q8_0,
                                         DType::q4_k, DType::q5_k, DType::q6_k),
                         [](const auto& type) {
                           return std::string(tensor::info(type.param).name);
                         });

TEST(LinearJobs, LayoutsBelongToTheirArithmetic) {
  const Stored w(DType::q8_0, 20, 64);
  std::vector<std::byte> bytes;
  const Linear linear = packed(w, bytes);
  const std::vector<float> x = random_values(64, 9);
  std::vector<float> y(20);
  base::ThreadPool pool(1);
  ForwardContext context{kConfig, pool, kernels::table()};
  EXPECT_THROW(apply_linear(context, linear, 0, x.data(), 64, 1, y.data(), 20), base::Error);
  context.options.activations = Activations::q8;
  EXPECT_THROW(apply_linear(context, w.linear, 0, x.data(), 64, 1, y.data(), 20), base::Error);
  const Stored floats(DType::bf16, 20, 64);
  apply_linear(context, floats.linear, 0, x.data(), 64, 1, y.data(), 20);
  std::vector<float> expected(20);
  context.options.activations = Activations::f32;
  apply_linear(context, floats.linear, 0, x.data(), 64, 1, expected.data(), 20);
  EXPECT_EQ(y, expected);  // a type without an integer form keeps its inputs
}

TEST(LinearJobs, SeveralAtOnceEqualOneByOne) {
  const Stored a(DType::q8_0, 40, 64), b(DType::f32, 33, 64), c(DType::bf16, 17, 96, 3);
  const std::vector<float> x = random_values(9 * 64, 9), z = random_values(4 * 96, 10);
  base::ThreadPool pool(2);
  ForwardContext context{kConfig, pool, kernels::table()};
  context.options.activations = Activations::stock;
  std::vector<float> ya(9 * 40), yb(9 * 33), yc(4 * 17), none;
  const LinearJob jobs[] = {{&a.linear, 0, x.data(), 64, 9, ya.data(), 40},
                            {&b.linear, 0, x.data(), 64, 9, yb.data(), 33},
                            {&c.linear, 2, z.data(), 96, 4, yc.data(), 17},
                            {&c.linear, 0, z.data(), 96, 0, none.data(), 17}};
  apply_linears(context, jobs);
  for (const LinearJob& job : jobs) {
    std::vector<float> y(static_cast<size_t>(job.rows * job.ldy));
    apply_linear(context, *job.w, job.expert, job.x, job.ldx, job.rows, y.data(), job.ldy);
    EXPECT_TRUE(std::equal(y.begin(), y.end(), job.y));
  }
  apply_linears(context, {});
  EXPECT_THROW(apply_linear(context, c.linear, 3, z.data(), 96, 4, yc.data(), 17), base::Error);
  EXPECT_THROW(apply_linear(context, Linear{}, 0, z.data(), 96, 4, yc.data(), 17), base::Error);
}

}  // namespace
}  // namespace karat::model
