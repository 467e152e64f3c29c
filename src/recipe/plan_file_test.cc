#include "recipe/plan_file.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "base/file.h"
#include "support/files.h"
#include "support/memory_source.h"

namespace karat::recipe {
namespace {

using tensor::DType;

class PlanFile : public testing::Test {
 protected:
  PlanFile() {
    source_.add_f32("output.weight", {4, 32}, std::vector<float>(128, 1));
    source_.add_f32("blk.0.attn_norm.weight", {32}, std::vector<float>(32, 1));
    plan_.model = model_identity(source_);
    plan_.statistics = "stats";
    plan_.target = "bpw 8.5";
    plan_.effort = "fast";
    plan_.seed = 3;
    plan_.exponent = 0.5;
    plan_.tensors = {{"output.weight", DType::q8_0, "plan", 136, 136, 0.25, 4},
                     {"blk.0.attn_norm.weight", DType::f32, "kept", 128, 128}};
  }
  std::string written() const {
    base::write_file(folder_.path("plan.json"), plan_json(plan_).dump(1));
    return folder_.path("plan.json");
  }
  void refuses(const Plan& plan, const std::string& statistics, const std::string& words) const {
    try {
      decisions_of(plan, "p", source_, statistics);
      FAIL() << words;
    } catch (const base::Error& error) {
      EXPECT_NE(std::string(error.what()).find(words), std::string::npos) << error.what();
    }
  }
  test::TempDir folder_;
  test::MemorySource source_;
  Plan plan_;
};

TEST_F(PlanFile, IsReadAsItWasWritten) {
  const Plan again = read_plan(written());
  EXPECT_EQ(plan_json(again).dump(), plan_json(plan_).dump());
  EXPECT_EQ(again.cost(), 1.0);
  EXPECT_EQ(again.divergence(), 1.0);
}

TEST_F(PlanFile, BecomesDecisionsInItsOrder) {
  const PlanDecisions made = decisions_of(plan_, "p", source_, "stats");
  ASSERT_EQ(made.decisions.size(), 2u);
  EXPECT_EQ(made.preset->base, DType::q8_0);
  EXPECT_EQ(made.decisions[0].type, DType::q8_0);
  EXPECT_STREQ(made.decisions[1].decided_by, "kept");
}

TEST_F(PlanFile, OfAnotherModelOrOtherStatisticsIsRefused) {
  refuses(plan_, "others", "other statistics");
  Plan other = plan_;
  other.model = "another";
  refuses(other, "stats", "another model");
  other = plan_;
  other.tensors.pop_back();
  refuses(other, "stats", "says nothing");
  other.tensors.push_back(other.tensors[0]);
  refuses(other, "stats", "there twice");
  other.tensors[1].name = "x";
  refuses(other, "stats", "not the model's");
  EXPECT_THROW(read_plan(written() + "x"), base::Error);
  base::write_file(folder_.path("text"), "{}");
  EXPECT_THROW(read_plan(folder_.path("text")), base::Error);
}

TEST_F(PlanFile, IdentityDependsOnWeightsAndNotOnTheirOrder) {
  test::MemorySource turned, changed;
  turned.add_f32("blk.0.attn_norm.weight", {32}, std::vector<float>(32, 1));
  turned.add_f32("output.weight", {4, 32}, std::vector<float>(128, 1));
  EXPECT_EQ(model_identity(turned), plan_.model);
  changed.add_f32("blk.0.attn_norm.weight", {32}, std::vector<float>(32, 2));
  changed.add_f32("output.weight", {4, 32}, std::vector<float>(128, 1));
  EXPECT_NE(model_identity(changed), plan_.model);
}

TEST_F(PlanFile, AsLlamaQuantizesTypeFile) {
  EXPECT_EQ(tensor_type_file(plan_), "^output\\.weight$=q8_0\n");
}

TEST_F(PlanFile, ATokenReadsTheExpertsThatAreUsed) {
  model::Config config;
  config.mixers.assign(2, model::Mixer::attention);
  config.experts = 8, config.experts_used = 2;
  EXPECT_EQ(bytes_per_token({"blk.0.ffn_up_exps.weight", DType::q8_0, {8, 4, 32}}, config),
            2u * 4 * 34);
  EXPECT_EQ(bytes_per_token({"token_embd.weight", DType::q8_0, {100, 32}}, config), 34u);
  EXPECT_EQ(bytes_per_token({"output.weight", DType::q8_0, {100, 32}}, config), 3400u);
  EXPECT_EQ(bytes_per_token({"blk.2.attn_q.weight", DType::q8_0, {100, 32}}, config), 0u);
}

}  // namespace
}  // namespace karat::recipe
