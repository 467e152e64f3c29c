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
                              {.batch_tokens = batch_tokens}, nullptr, pool);
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
  const HiddenRows back = HiddenRowsReader(dir.path("h")).read();
  EXPECT_EQ(back.tokens, rows.tokens);
  EXPECT_EQ(back.rows, rows.rows);
  EXPECT_EQ(back.n_ctx, 24);
  EXPECT_EQ(back.count, 5);
  EXPECT_EQ(back.model, rows.model);
  EXPECT_EQ(back.activations, "f32");
  const HiddenRowsReader two(dir.path("h"), 2);
  EXPECT_EQ(two.bytes(), (48u + 2 * 11 * 64) * 4);
  rows.rows.resize(2 * 11 * 64);
  EXPECT_EQ(two.read().rows, rows.rows);
  EXPECT_EQ(two.read().chunks().tokens.size(), 48u);
  EXPECT_EQ(HiddenRowsReader(dir.path("h"), 9).read().count, 5);
}

TEST(HiddenRows, OtherFilesAndOtherModelsAreRefused) {
  Tiny tiny;
  const test::TempDir dir;
  EXPECT_THROW(HiddenRowsReader(test::fixture("goldens/text/seq007.safetensors")), base::Error);
  HiddenRows rows = tiny.rows();
  rows.rows[7] = NAN;
  write_hidden_rows(dir.path("nan"), rows);
  EXPECT_THROW(HiddenRowsReader(dir.path("nan")).read(), base::Error);
  rows = tiny.rows();
  rows.width = 32;
  EXPECT_THROW(HiddenScorer(*tiny.opened.source, tiny.opened.config, rows, {}, tiny.pool),
               base::Error);
  rows = tiny.rows();
  rows.tokens[0] = static_cast<int32_t>(tiny.opened.config.vocab);
  EXPECT_THROW(HiddenScorer(*tiny.opened.source, tiny.opened.config, rows, {}, tiny.pool),
               base::Error);
}

// Their logits would be those of one model's trunk and another one's output matrix.
TEST(HiddenRows, OfTheModelInAnotherTypeAreRefused) {
  Tiny tiny;
  const model::OpenedModel other = model::open_model(test::fixture("goldens/gguf/tiny-f32.gguf"));
  const HiddenRows rows =
      stream_hidden_rows(*other.source, other.config, tiny.chunks(), {}, nullptr, tiny.pool);
  const auto message = [&](const model::OpenedModel& reference, model::Activations activations) {
    try {
      HiddenScorer(*reference.source, reference.config, rows, {.activations = activations},
                   tiny.pool);
    } catch (const base::Error& error) {
      EXPECT_EQ(error.kind(), base::ErrorKind::bad_input);
      return std::string(error.what());
    }
    return std::string();
  };
  EXPECT_EQ(message(other, model::Activations::f32), "");
  EXPECT_NE(message(tiny.opened, model::Activations::f32).find("another model's"),
            std::string::npos);
  EXPECT_NE(message(other, model::Activations::bf16).find("activations f32, not bf16"),
            std::string::npos);
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
