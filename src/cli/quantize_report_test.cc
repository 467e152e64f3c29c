#include "cli/quantize_report.h"

#include <gtest/gtest.h>

namespace karat::cli {
namespace {

recipe::QuantizePlan example() {
  recipe::QuantizePlan plan;
  plan.preset = recipe::preset_named("Q4_K_M");
  for (const auto& [name, type] : {std::pair{"blk.0.attn_q.weight", tensor::DType::q4_k},
                                   std::pair{"blk.0.attn_v.weight", tensor::DType::q6_k}}) {
    recipe::TensorPlan tensor;
    tensor.out = {name, type, {4, 256}};
    tensor.from = tensor::DType::bf16;
    tensor.decided_by = "base";
    plan.tensors.push_back(tensor);
    plan.data_bytes += static_cast<uint64_t>(tensor.out.bytes());
    plan.elements += 1024;
  }
  return plan;
}

std::string stdout_of(const Common& common) {
  ::testing::internal::CaptureStdout();
  print_plan(common, example(), 5000, {{12.2, "a trial"}, 3000000});
  return ::testing::internal::GetCapturedStdout();
}

TEST(QuantizeReport, TableHasEveryTensorAndTheTotals) {
  const std::string text = stdout_of({});
  EXPECT_NE(text.find("blk.0.attn_q.weight"), std::string::npos);
  EXPECT_NE(text.find("q6_K"), std::string::npos);
  EXPECT_NE(text.find("expected: 13 s (a trial), 2.86 MiB (3.00 MB) of memory"), std::string::npos)
      << text;
  EXPECT_NE(text.find("5.5312 bits per weight over 2048 parameters"), std::string::npos) << text;
}

TEST(QuantizeReport, JsonAddsUp) {
  const base::Json json = base::parse_json(stdout_of({.json = true}));
  EXPECT_EQ(json.at("schema").as_int(), 1);
  EXPECT_EQ(json.at("data_bytes").as_int(), 4 * 144 + 4 * 210);
  EXPECT_EQ(json.at("file_bytes").as_int(), 5000);
  EXPECT_EQ(json.at("tensors").as_array().size(), 2u);
  EXPECT_EQ(json.at("types").at("q4_K").at("bytes").as_int(), 4 * 144);
  EXPECT_EQ(json.at("expected").at("memory_bytes").as_int(), 3000000);
  EXPECT_DOUBLE_EQ(json.at("bits_per_weight").as_double(), 8.0 * 1416 / 2048);
}

}  // namespace
}  // namespace karat::cli
