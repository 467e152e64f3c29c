#include "recipe/policy.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "support/memory_source.h"

namespace karat::recipe {
namespace {

using tensor::DType;

class PolicyTest : public testing::Test {
 protected:
  PolicyTest() {
    source_.add("token_embd.weight", DType::bf16, {512, 256});
    source_.add("blk.0.ffn_gate_exps.weight", DType::bf16, {4, 256, 256});
    source_.add("blk.0.ffn_up_exps.weight", DType::bf16, {4, 256, 256});
    source_.add("blk.1.ssm_out.weight", DType::bf16, {64, 256});
    source_.add("blk.1.ssm_alpha.weight", DType::bf16, {4, 256});
  }
  std::vector<Candidates> candidates(const std::string& recipe, uint64_t budget,
                                     bool weighted = true) const {
    const Policy policy = recipe.empty() ? default_policy() : parse_policy(recipe, "r.toml");
    return candidates_of(policy, source_, {0, 1, 2, 3, 4}, std::vector<bool>(5, weighted), budget);
  }
  void expect_error(const std::string& recipe, const std::string& words) const {
    try {
      candidates(recipe, 1 << 20);
      FAIL() << recipe;
    } catch (const base::Error& error) {
      EXPECT_NE(std::string(error.what()).find(words), std::string::npos) << error.what();
    }
  }
  test::MemorySource source_;
};

TEST_F(PolicyTest, DefaultFloorsHoldWhereTheyCostLittle) {
  // ssm_out in Q6_K takes 13,440 bytes: 2 % of 672,000.
  EXPECT_EQ(candidates("", 672'000)[3].types.front(), DType::q6_k);
  EXPECT_EQ(candidates("", 671'999)[3].types.front(), DType::iq1_s);
  EXPECT_EQ(candidates("", 0)[4].types, (std::vector<DType>{DType::q8_0, DType::bf16}));
  EXPECT_EQ(candidates("", 0)[1].types.size(), 20u);
}

TEST_F(PolicyTest, WithoutStatisticsTheSmallestTypesAreLeftOut) {
  const auto all = candidates("", 0, false);
  EXPECT_EQ(all[1].types.front(), DType::q2_k);
  EXPECT_EQ(all[0].types.front(), DType::q2_k);
}

TEST_F(PolicyTest, RulesOfARecipeComeBeforeTheDefaultOnes) {
  const auto all = candidates(
      "schema = 1\ntypes = [\"Q4_K\", \"Q6_K\"]\n[[rule]]\nmatch = \"ssm\"\ntype = \"F16\"\n", 1);
  EXPECT_EQ(all[3].types, (std::vector<DType>{DType::f16}));
  EXPECT_EQ(all[3].decided_by, "recipe");
  EXPECT_EQ(all[4].types, (std::vector<DType>{DType::f16}));
  EXPECT_EQ(all[1].types, (std::vector<DType>{DType::q4_k, DType::q6_k}));
  EXPECT_EQ(all[1].decided_by, "plan");
}

TEST_F(PolicyTest, AFloorWithoutAShareAlwaysHolds) {
  const auto all = candidates("schema = 1\n[[rule]]\nmatch = \"_exps\"\nfloor = \"Q5_K\"\n", 1);
  for (const DType type : all[1].types) {
    EXPECT_TRUE(type != DType::q4_k && type != DType::iq1_s);
  }
}

TEST_F(PolicyTest, GroupsShareWhatAllMayHave) {
  const auto all = candidates(
      "schema = 1\n[[group]]\nmatch = \"ffn_(gate|up)_exps\"\n"
      "[[rule]]\nmatch = \"ffn_up\"\ntypes = [\"Q5_K\", \"Q3_K\"]\n",
      1);
  EXPECT_EQ(all[1].types, (std::vector<DType>{DType::q3_k, DType::q5_k}));
  EXPECT_EQ(all[1].group, all[2].group);
  EXPECT_GE(all[1].group, 0);
  EXPECT_EQ(all[0].group, -1);
}

TEST_F(PolicyTest, MistakesAreNamed) {
  expect_error("schema = 2", "schema");
  expect_error("schema = 1\nflour = 3", "flour");
  expect_error("schema = 1\ntypes = [\"Q9_K\"]", "'Q9_K' is no type");
  expect_error("schema = 1\n[[rule]]\nmatch = \"nothing\"\ntype = \"Q8_0\"", "matches no tensor");
  expect_error("schema = 1\n[[group]]\nmatch = \"nothing\"", "matches no tensor");
  expect_error("schema = 1\n[[group]]\nmatch = \"exps\"\nby = \"row\"", "'layer' or 'all'");
  expect_error("schema = 1\n[[rule]]\nmatch = \"exps\"\ntype = \"Q8_0\"\nfloor = \"Q8_0\"",
               "nothing to choose");
  expect_error("schema = 1\n[[rule]]\nmatch = \"exps\"\nshare = 0.5", "belongs to a floor");
  expect_error("schema = 1\ntypes = [\"Q4_K\"]\n[[rule]]\nmatch = \"exps\"\nfloor = \"Q8_0\"",
               "leaves no type");
  expect_error(
      "schema = 1\n[[group]]\nmatch = \"exps\"\n[[rule]]\nmatch = \"up_\"\ntype = \"F16\"\n"
      "[[rule]]\nmatch = \"gate_\"\ntype = \"Q8_0\"",
      "no type in common");
  expect_error("schema = 1\n[[group]]\nmatch = \"exps\"\n[[group]]\nmatch = \"up_\"", "two groups");
}

}  // namespace
}  // namespace karat::recipe
