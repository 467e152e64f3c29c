#include "cli/plan_report.h"

#include <gtest/gtest.h>

#include "support/memory_source.h"

namespace karat::cli {
namespace {

TEST(PlanReport, NamesTypesBytesAndRanks) {
  test::MemorySource source;
  source.add("output.weight", tensor::DType::bf16, {4, 32});
  source.add("blk.0.attn_q.weight", tensor::DType::bf16, {8, 32});
  source.add("blk.0.attn_norm.weight", tensor::DType::f32, {32});
  recipe::Plan plan;
  plan.data_bytes = 136 + 144 + 128;
  plan.file_bytes = 1000;
  plan.tensors = {{"output.weight", tensor::DType::q8_0, "plan", 136, 136, 0.001, 2},
                  {"blk.0.attn_q.weight", tensor::DType::q4_0, "plan", 144, 144, 0.003, 2},
                  {"blk.0.attn_norm.weight", tensor::DType::f32, "kept", 128, 128}};
  const std::string brief = plan_report(plan, source, false);
  EXPECT_EQ(brief.find("attn_q"), std::string::npos);
  EXPECT_NE(brief.find("(1000 bytes), 7.8462 bits per weight"), std::string::npos) << brief;
  const std::string all = plan_report(plan, source, true);
  EXPECT_NE(all.find("75.000%     1 "), std::string::npos) << all;
  EXPECT_NE(all.find("25.000%     2 "), std::string::npos) << all;
  const base::Json json = plan_report_json(plan, source);
  EXPECT_EQ(json.at("bytes_per_token").as_uint(), 136u + 144 + 128);
}

}  // namespace
}  // namespace karat::cli
