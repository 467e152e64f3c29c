#include "recipe/estimate.h"

#include <gtest/gtest.h>

namespace karat::recipe {
namespace {

QuantizePlan plan_of(int64_t rows, tensor::DType to) {
  QuantizePlan plan;
  TensorPlan tensor;
  tensor.out = {"a.weight", to, {rows, 4096}};
  tensor.from = tensor::DType::bf16;
  plan.tensors.push_back(tensor);
  return plan;
}

TEST(Estimate, GrowsWithTheWorkAndShrinksWithThreads) {
  const double one = estimate_time(plan_of(1000, tensor::DType::q4_k), 0, 1).seconds;
  const double many = estimate_time(plan_of(100000, tensor::DType::q4_k), 0, 1).seconds;
  const double shared = estimate_time(plan_of(100000, tensor::DType::q4_k), 0, 4).seconds;
  EXPECT_GT(one, 0);
  EXPECT_GT(many, 20 * one);  // 100 times, on a machine that is busy now and then
  EXPECT_LT(shared, many);
}

TEST(Estimate, CopiesCostLessThanSearches) {
  const double copy = estimate_time(plan_of(100000, tensor::DType::bf16), 0, 1).seconds;
  const double search = estimate_time(plan_of(100000, tensor::DType::q4_k), 0, 1).seconds;
  EXPECT_LT(copy, search);
  EXPECT_GT(estimate_time(plan_of(1, tensor::DType::bf16), uint64_t{1} << 36, 1).seconds, 1);
}

TEST(Estimate, SaysWhereItComesFrom) {
  const std::string basis = estimate_time(plan_of(1, tensor::DType::q8_0), 0, 2).basis;
  EXPECT_NE(basis.find("2 threads"), std::string::npos) << basis;
  EXPECT_NE(basis.find("disk"), std::string::npos) << basis;
}

}  // namespace
}  // namespace karat::recipe
