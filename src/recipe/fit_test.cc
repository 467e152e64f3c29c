#include "recipe/fit.h"

#include <gtest/gtest.h>

#include "support/full_shape.h"

namespace karat::recipe {
namespace {

using tensor::DType;

constexpr uint64_t kGiB = uint64_t{1} << 30;

exec::MemoryPlan plan_of(const test::Full& full, int64_t context) {
  return exec::plan_memory(
      full.source, full.config,
      {.context = context, .cache = {DType::f16, DType::f16}, .piece_tokens = 512});
}

TEST(Fit, SizesOfPresetsAreLlamaQuantizes) {
  const test::Full full(true);
  EXPECT_EQ(preset_bytes(full.source, full.config, preset_named("IQ1_S"), false), 7473152512u);
  EXPECT_EQ(preset_bytes(full.source, full.config, preset_named("IQ1_S"), true), 7641074176u);
}

TEST(Fit, WhatFitsOnASmallMachine) {
  const test::Full full(false);  // 69 GB
  const exec::MemoryPlan plan = plan_of(full, 32768);
  const FitAdvice advice = advise_fit(full.source, full.config, plan, 22 * kGiB);
  EXPECT_EQ(advice.context, 0);
  EXPECT_EQ(advice.context_q8_0, 0);
  ASSERT_NE(advice.smaller, nullptr);
  const uint64_t beside = plan.total() - plan.weight_bytes();
  EXPECT_LE(advice.smaller_bytes + beside, 22 * kGiB);
  EXPECT_GT(advice.smaller_bytes, 18 * kGiB);  // none of those between is forgotten
  for (const Preset& preset : presets()) {
    if (!preset.quantizes()) continue;
    const uint64_t bytes = preset_bytes(full.source, full.config, preset, false);
    EXPECT_TRUE(bytes <= advice.smaller_bytes || bytes + beside > 22 * kGiB) << preset.name;
  }
  EXPECT_LT(advice.streamed_bytes, 8 * kGiB);
}

TEST(Fit, ContextsWhereTheWeightsFit) {
  const test::Full full(false);
  const exec::MemoryPlan plan = plan_of(full, 200000);
  const uint64_t allowed = plan.total() - 1;
  const FitAdvice advice = advise_fit(full.source, full.config, plan, allowed);
  EXPECT_EQ(advice.context, 199999);
  EXPECT_EQ(advice.context_q8_0, 262144);  // the model's own
  ASSERT_NE(advice.smaller, nullptr);
  EXPECT_EQ(advise_fit(full.source, full.config, plan, plan.total()).smaller, nullptr);
}

}  // namespace
}  // namespace karat::recipe
