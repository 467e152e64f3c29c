#include "eval/hidden_rows.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "base/half.h"
#include "eval/divergence.h"
#include "eval/perplexity.h"
#include "model/open.h"
#include "support/files.h"
#include "support/shared.h"

namespace karat::eval {
namespace {

struct Tiny {
  model::OpenedModel opened = model::open_model(test::fixture("tiny-random"));
  std::vector<int32_t> tokens;
  base::ThreadPool pool{2};
  Tiny() {
    for (int i = 0; i < 5 * 24; ++i) tokens.push_back((i * i * 31 + 7 * i) % 499);
  }
  Chunks chunks() const { return {tokens, 24, 5}; }
  HiddenRows rows(int64_t batch_tokens = 40) {
    return stream_hidden_rows(*opened.source, opened.config, chunks(),
                              {.batch_tokens = batch_tokens}, pool);
  }
};

TEST(HiddenRows, GiveTheResidentModelsLogitsBitForBit) {
  Tiny tiny;
  const exec::ResidentModel model(*tiny.opened.source, tiny.opened.config, false);
  ResidentScorer resident(model, tiny.chunks(), {.batch_tokens = 48}, tiny.pool);
  const HiddenRows rows = tiny.rows();
  HiddenScorer kept(*tiny.opened.source, tiny.opened.config, rows, {}, tiny.pool);
  const auto size = static_cast<size_t>(tiny.chunks().scored() * tiny.opened.config.vocab);
  for (int64_t chunk = 0; chunk < 5; ++chunk) {
    if (chunk % 2 == 0) resident.run(chunk, std::min<int64_t>(2, 5 - chunk));
    kept.run(chunk, 1);
    const std::vector<float> a(resident.logits(chunk), resident.logits(chunk) + size);
    const std::vector<float> b(kept.logits(chunk), kept.logits(chunk) + size);
    EXPECT_EQ(a, b) << chunk;
  }
  const auto expected = measure_perplexity(resident, "", 0, tiny.pool, nullptr);
  EXPECT_EQ(measure_perplexity(kept, "", 0, tiny.pool, nullptr).nll, expected.nll);
  EXPECT_EQ(measure_divergence(kept, resident, 0, tiny.pool).kld.value, 0);
}

TEST(HiddenRows, ComeBackFromTheirFile) {
  Tiny tiny;
  const test::TempDir dir;
  HiddenRows rows = tiny.rows(1000);
  write_hidden_rows(dir.path("h"), rows);
  const HiddenRows back = read_hidden_rows(dir.path("h"));
  EXPECT_EQ(back.tokens, rows.tokens);
  EXPECT_EQ(back.rows, rows.rows);
  EXPECT_EQ(back.n_ctx, 24);
  EXPECT_EQ(back.count, 5);
  rows.keep(2);
  EXPECT_EQ(rows.chunks().count, 2);
  EXPECT_EQ(rows.rows.size(), 2u * 11 * 64);
  EXPECT_EQ(rows.tokens.size(), 48u);
  rows.keep(9);
  EXPECT_EQ(rows.count, 2);
}

TEST(HiddenRows, OtherFilesAndOtherModelsAreRefused) {
  Tiny tiny;
  const test::TempDir dir;
  EXPECT_THROW(read_hidden_rows(test::fixture("goldens/text/seq007.safetensors")), base::Error);
  HiddenRows rows = tiny.rows();
  rows.rows[7] = NAN;
  write_hidden_rows(dir.path("nan"), rows);
  EXPECT_THROW(read_hidden_rows(dir.path("nan")), base::Error);
  rows = tiny.rows();
  rows.width = 32;
  EXPECT_THROW(HiddenScorer(*tiny.opened.source, tiny.opened.config, rows, {}, tiny.pool),
               base::Error);
  rows = tiny.rows();
  rows.tokens[0] = static_cast<int32_t>(tiny.opened.config.vocab);
  EXPECT_THROW(HiddenScorer(*tiny.opened.source, tiny.opened.config, rows, {}, tiny.pool),
               base::Error);
}

// Why the rows are kept in F32: half the size would cost a divergence that the model does not have.
TEST(HiddenRows, RowsInBf16WouldDiverge) {
  Tiny tiny;
  const HiddenRows rows = tiny.rows();
  HiddenRows rounded = rows;
  for (float& x : rounded.rows) x = base::bf16_to_f32(base::f32_to_bf16(x));
  HiddenScorer a(*tiny.opened.source, tiny.opened.config, rounded, {}, tiny.pool);
  HiddenScorer b(*tiny.opened.source, tiny.opened.config, rows, {}, tiny.pool);
  EXPECT_GT(measure_divergence(a, b, 0, tiny.pool).kld.value, 0);
}

}  // namespace
}  // namespace karat::eval
