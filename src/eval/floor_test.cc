#include "eval/floor.h"

#include <gtest/gtest.h>

#include <array>

#include "base/half.h"
#include "eval/divergence.h"
#include "eval/hidden_rows.h"
#include "model/open.h"
#include "support/shared.h"

namespace karat::eval {
namespace {

struct Tiny {
  model::OpenedModel opened = model::open_model(test::fixture("tiny-random"));
  exec::ResidentModel resident{*opened.source, opened.config, false};
  std::vector<int32_t> tokens;
  base::ThreadPool pool{2};
  ResidualRounding rounding;
  Tiny() {
    for (int i = 0; i < 4 * 24; ++i) tokens.push_back((i * i * 31 + 7 * i) % 499);
  }
  Chunks chunks() const { return {tokens, 24, 4}; }
};

TEST(Floor, RoundsTheResidualStreamInPlace) {
  ResidualRounding rounding;
  std::array<float, 6> rows = {1.001F, 2, 9.99F, -1.001F, 3, 9.99F};  // two of two in a stride of 3
  EXPECT_TRUE(rounding.wants_stage("after_mixer") && rounding.wants_stage("out"));
  EXPECT_FALSE(rounding.wants_stage("input_layernorm"));
  rounding.stage({"out", 0, rows.data(), 2, 2, 3});
  EXPECT_EQ(rows, (std::array<float, 6>{1, 2, 9.99F, -1, 3, 9.99F}));
}

// Both floors are above nothing, and far below what knowing nothing costs.
TEST(Floor, IsSmallAndNotNothing) {
  Tiny tiny;
  ResidentScorer reference(tiny.resident, tiny.chunks(), {}, tiny.pool);
  ResidentScorer bf16(tiny.resident, tiny.chunks(), floor_options(Floor::bf16, tiny.rounding),
                      tiny.pool);
  ResidentScorer q8(tiny.resident, tiny.chunks(), floor_options(Floor::q8, tiny.rounding),
                    tiny.pool);
  const std::array<Scorer*, 2> models = {&bf16, &q8};
  const auto floors = measure_divergences(models, reference, 0, tiny.pool);
  reference.run(0, 1);
  const auto vocab = static_cast<size_t>(reference.vocab());
  const std::vector<float> uniform(vocab, 0.0F);
  const double nothing = compare_rows(uniform, std::span(reference.logits(0), vocab), 0, false).kld;
  for (const DivergenceResult& floor : floors) {
    EXPECT_GT(floor.kld.value, 0);
    EXPECT_LT(floor.kld.value, 0.1 * nothing);
  }
  const auto alone = measure_divergence(bf16, reference, 0, tiny.pool);
  EXPECT_EQ(alone.chunk_kld, floors[0].chunk_kld);
}

TEST(Floor, TheResidualStreamCounts) {
  Tiny tiny;
  ScoreOptions without = floor_options(Floor::bf16, tiny.rounding);
  ASSERT_NE(without.tap, nullptr);
  without.tap = nullptr;
  ResidentScorer inputs(tiny.resident, tiny.chunks(), without, tiny.pool);
  ResidentScorer both(tiny.resident, tiny.chunks(), floor_options(Floor::bf16, tiny.rounding),
                      tiny.pool);
  EXPECT_GT(measure_divergence(both, inputs, 0, tiny.pool).kld.value, 0);
}

TEST(Floor, BlockByBlockIsTheSame) {
  Tiny tiny;
  for (const Floor floor : {Floor::bf16, Floor::q8}) {
    const ScoreOptions options = floor_options(floor, tiny.rounding);
    const HiddenRows rows = stream_hidden_rows(
        *tiny.opened.source, tiny.opened.config, tiny.chunks(),
        {.batch_tokens = 48, .forward = options.forward}, options.tap, tiny.pool);
    HiddenScorer streamed(*tiny.opened.source, tiny.opened.config, rows, options.forward,
                          tiny.pool);
    ResidentScorer resident(tiny.resident, tiny.chunks(), options, tiny.pool);
    EXPECT_EQ(measure_divergence(streamed, resident, 0, tiny.pool).kld.value, 0)
        << floor_name(floor);
  }
}

}  // namespace
}  // namespace karat::eval
