#include "recipe/mixture_rules.h"

#include <gtest/gtest.h>

#include <set>

namespace karat::recipe {
namespace {

using tensor::DType;

TEST(MixtureRules, CategoriesByName) {
  const struct {
    const char* name;
    Category category;
  } kCases[] = {
      {"output.weight", Category::output},
      {"token_embd.weight", Category::token_embd},
      {"blk.0.attn_qkv.weight", Category::value},
      {"blk.3.attn_v.weight", Category::value},
      {"blk.3.attn_k.weight", Category::key},
      {"blk.3.attn_q.weight", Category::query},
      {"blk.3.attn_output.weight", Category::attention_output},
      {"blk.0.ffn_up_exps.weight", Category::up},
      {"blk.0.ffn_gate_up_exps.weight", Category::gate},
      {"blk.0.ffn_gate_shexp.weight", Category::gate},
      {"blk.0.ffn_down_shexp.weight", Category::down},
      {"blk.0.attn_gate.weight", Category::other},
      {"blk.0.ssm_out.weight", Category::other},
      {"blk.40.nextn.eh_proj.weight", Category::other},
  };
  for (const auto& row : kCases) EXPECT_EQ(category_of(row.name), row.category) << row.name;
}

TEST(MixtureRules, MoreBitsOfFortyBlocks) {
  std::set<int64_t> more;
  for (int64_t i = 0; i < 40; ++i) {
    if (position_facts(i, 40) & kMoreBits) more.insert(i);
  }
  EXPECT_EQ(more, (std::set<int64_t>{0,  1,  2,  3,  4,  7,  10, 13, 16, 19,
                                     22, 25, 28, 31, 34, 35, 36, 37, 38, 39}));
}

TEST(MixtureRules, PositionFacts) {
  EXPECT_EQ(position_facts(5, 40) & (kFirstEighth | kMiddle), kMiddle);
  EXPECT_EQ(position_facts(4, 40) & (kFirstEighth | kMiddle), kFirstEighth);
  EXPECT_EQ(position_facts(35, 40) & (kFirstEighth | kMiddle), 0u);
  EXPECT_EQ(position_facts(1, 40) & (kFirstTwo | kFirstFour | kFirstSixteenth),
            kFirstTwo | kFirstFour | kFirstSixteenth);
  EXPECT_EQ(position_facts(2, 40) & (kFirstTwo | kFirstFour | kFirstSixteenth), kFirstFour);
}

TEST(MixtureRules, FirstMatchDecides) {
  EXPECT_EQ(ruled_type(Ftype::q3_k_m, Category::value, kFirstTwo), DType::q5_k);
  EXPECT_EQ(ruled_type(Ftype::q3_k_m, Category::value, 0), DType::q4_k);
  EXPECT_EQ(ruled_type(Ftype::q3_k_m, Category::value, kFirstTwo | kEightExperts), DType::q8_0);
  EXPECT_EQ(ruled_type(Ftype::iq2_xs, Category::value, kEightExperts | kFourQueriesOrExperts),
            DType::q4_k);
  EXPECT_EQ(ruled_type(Ftype::mxfp4_moe, Category::gate, kExpertStack), DType::mxfp4);
  EXPECT_EQ(ruled_type(Ftype::mxfp4_moe, Category::gate, 0), DType::q8_0);
  EXPECT_EQ(ruled_type(Ftype::q6_k, Category::other, ~0u), std::nullopt);
}

TEST(MixtureRules, TypesThatTakeThePlaceOfOthers) {
  EXPECT_EQ(fitting_type(DType::q4_k, 512), DType::q4_k);
  EXPECT_EQ(fitting_type(DType::q4_k, 96), DType::q5_0);
  EXPECT_EQ(fitting_type(DType::iq1_s, 96), DType::iq4_nl);
  EXPECT_EQ(fitting_type(DType::q2_0, 96), DType::q4_0);
  EXPECT_EQ(fitting_type(DType::q6_k, 40), DType::f16);
  EXPECT_EQ(fitting_type(DType::q8_0, 40), std::nullopt);
  EXPECT_EQ(fitting_type(DType::q1_0, 96), std::nullopt);
}

TEST(MixtureRules, WhichTypesNeedStatistics) {
  EXPECT_TRUE(requires_imatrix(Category::down, DType::iq2_s, Ftype::iq2_m));
  EXPECT_TRUE(requires_imatrix(Category::other, DType::iq3_xxs, Ftype::iq3_xs));
  EXPECT_TRUE(requires_imatrix(Category::up, DType::q2_k, Ftype::q2_k_s));
  EXPECT_FALSE(requires_imatrix(Category::up, DType::q2_k, Ftype::q2_k));
  EXPECT_FALSE(requires_imatrix(Category::up, DType::iq3_s, Ftype::iq3_s));
  EXPECT_FALSE(requires_imatrix(Category::token_embd, DType::iq2_s, Ftype::iq2_s));
  EXPECT_FALSE(requires_imatrix(Category::output, DType::iq1_s, Ftype::iq1_s));
}

}  // namespace
}  // namespace karat::recipe
