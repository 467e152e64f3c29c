#include "eval/compare.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/error.h"
#include "base/rng.h"
#include "support/memory_source.h"
#include "tensor/pieces.h"

namespace karat::eval {
namespace {

using tensor::DType;
using test::MemorySource;

TEST(Compare, MatchesNamesAndShapes) {
  MemorySource a, b, c;
  a.add("same", DType::bf16, {4, 32});
  a.add("ones", DType::f32, {1, 8});
  a.add("shape", DType::f32, {2, 8});
  a.add("gone", DType::f32, {8});
  b.add("new", DType::f32, {8});
  b.add("shape", DType::f32, {8, 2});
  b.add("ones", DType::f32, {8});
  b.add("same", DType::q8_0, {4, 32});
  c.add("same", DType::q8_0, {8, 16, 1});
  c.add("ones", DType::f32, {8});
  const TensorTable table = match_tensors(a, b, &c);
  ASSERT_EQ(table.pairs.size(), 2u);
  EXPECT_EQ(table.pairs[0].a->name, "same");
  EXPECT_EQ(table.pairs[0].b->dtype, DType::q8_0);
  EXPECT_EQ(table.pairs[0].against, nullptr);
  EXPECT_NE(table.pairs[1].against, nullptr);
  EXPECT_EQ(table.only_a, std::vector<std::string>{"gone"});
  EXPECT_EQ(table.only_b, std::vector<std::string>{"new"});
  ASSERT_EQ(table.other_shapes.size(), 1u);
  EXPECT_EQ(table.other_shapes[0].a->name, "shape");
}

// Two experts of 2 x 3.
struct Values {
  std::vector<float> a = {1, 2, 3, 4, 5, 6, 1, 0, 0, 0, 0, 0};
  std::vector<float> b = {1, 2, 4, 4, 5, 6, 1, 0, 0, 0, 0, 2};
  MemorySource one, two;
  Values() { fill(); }
  void fill() {
    one.add_f32("x_exps.weight", {2, 2, 3}, a);
    two.add_f32("x_exps.weight", {2, 2, 3}, b);
  }
};

TEST(Compare, MeasuresTheErrors) {
  const Values v;
  TensorTable table = match_tensors(v.one, v.two, &v.one);
  base::ThreadPool pool(2);
  measure_errors(table, v.one, v.two, &v.one, nullptr, pool);
  const TensorError& error = *table.pairs[0].error;
  EXPECT_EQ(error.error_sq, 5);
  EXPECT_EQ(error.norm_sq, 92);
  EXPECT_EQ(error.max_abs, 2);
  EXPECT_DOUBLE_EQ(error.relative_rms(), std::sqrt(5.0 / 92));
  EXPECT_DOUBLE_EQ(error.cosine(), 95 / std::sqrt(92.0 * 103));
  EXPECT_EQ(table.pairs[0].against_error->relative_rms(), 0);
  EXPECT_EQ(table.pairs[0].against_error->cosine(), 1);
  EXPECT_EQ(*table.pairs[0].ratio(), std::numeric_limits<double>::infinity());
  EXPECT_FALSE(table.pairs[0].weighted);
}

TEST(Compare, WeighsColumnsOfEachExpert) {
  const Values v;
  tensor::Importance importance;
  importance.entries["x_exps.weight"] = {3, 2, {0, 0, 6, 0, 0, 40}, {}, {2, 4}};
  TensorTable table = match_tensors(v.one, v.two, nullptr);
  base::ThreadPool pool(1);
  measure_errors(table, v.one, v.two, nullptr, &importance, pool);
  EXPECT_TRUE(table.pairs[0].weighted);
  EXPECT_EQ(table.pairs[0].error->error_sq, 3 * 1 + 10 * 4);
  EXPECT_EQ(table.pairs[0].error->norm_sq, 3 * (9 + 36));
  EXPECT_EQ(table.pairs[0].error->max_abs, 2);
  importance.entries["x_exps.weight"].cols = 6;
  EXPECT_THROW(measure_errors(table, v.one, v.two, nullptr, &importance, pool), base::Error);
}

TEST(Compare, NanIsNotHidden) {
  MemorySource a, b;
  a.add_f32("x", {2, 2}, {1, 2, 3, 4});
  b.add_f32("x", {2, 2}, {1, std::nanf(""), 3, 5});
  TensorTable table = match_tensors(a, b, nullptr);
  base::ThreadPool pool(1);
  measure_errors(table, a, b, nullptr, nullptr, pool);
  EXPECT_TRUE(std::isnan(table.pairs[0].error->max_abs));
  EXPECT_TRUE(std::isnan(table.pairs[0].error->relative_rms()));
}

TEST(Compare, TypesWithoutACodecHaveNoError) {
  MemorySource a, b;
  a.add("x", DType::i32, {4});
  b.add("x", DType::i32, {4});
  TensorTable table = match_tensors(a, b, nullptr);
  base::ThreadPool pool(1);
  measure_errors(table, a, b, nullptr, nullptr, pool);
  EXPECT_FALSE(table.pairs[0].error);
}

TEST(Compare, SumsAreTheSameBitsForAnyNumberOfThreads) {
  base::Rng rng(3);
  std::vector<float> x(5 * tensor::kPieceElements / 2), y(x.size());
  for (size_t i = 0; i < x.size(); ++i) {
    x[i] = static_cast<float>(rng.uniform());
    y[i] = x[i] + static_cast<float>(1e-3 * rng.uniform());
  }
  MemorySource a, b;
  a.add_f32("x", {static_cast<int64_t>(x.size()) / 64, 64}, x);
  b.add_f32("x", {static_cast<int64_t>(x.size()) / 64, 64}, y);
  std::vector<double> seen;
  for (const int threads : {1, 2, 7}) {
    TensorTable table = match_tensors(a, b, nullptr);
    base::ThreadPool pool(threads);
    measure_errors(table, a, b, nullptr, nullptr, pool);
    seen.push_back(table.pairs[0].error->error_sq);
  }
  EXPECT_GT(seen[0], 0);
  EXPECT_EQ(seen[0], seen[1]);
  EXPECT_EQ(seen[0], seen[2]);
}

TEST(Compare, MetadataDifferencesAreListed) {
  format::Metadata a, b;
  std::vector<int32_t> numbers(20, 1), others = numbers;
  others.back() = 2;
  for (const auto& [keys, array] : {std::pair{&a, numbers}, {&b, others}}) {
    keys->set("equal", uint32_t{1});
    keys->set("array", array);
  }
  a.set("type", uint32_t{1});
  b.set("type", int32_t{2});
  a.set("only.a", "x");
  b.set("only.b", "y");
  const auto differences = metadata_differences(a, b);
  ASSERT_EQ(differences.size(), 4u);
  EXPECT_EQ(differences[0].key, "array");
  EXPECT_NE(differences[0].a, differences[0].b);
  EXPECT_EQ(differences[1].key, "type");
  EXPECT_EQ(differences[2].key, "only.a");
  EXPECT_EQ(differences[2].b, "");
  EXPECT_EQ(differences[3].key, "only.b");
  EXPECT_EQ(differences[3].a, "");
}

}  // namespace
}  // namespace karat::eval
