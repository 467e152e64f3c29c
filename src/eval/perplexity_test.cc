#include "eval/perplexity.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "eval/divergence.h"
#include "kernels/dispatch.h"
#include "model/open.h"
#include "support/files.h"
#include "support/shared.h"

namespace karat::eval {
namespace {

struct Tiny {
  model::OpenedModel opened = model::open_model(test::fixture("tiny-random"));
  exec::ResidentModel model{*opened.source, opened.config, false};
  std::vector<int32_t> tokens;
  explicit Tiny(int64_t count) {
    for (int64_t i = 0; i < count; ++i)
      tokens.push_back(static_cast<int32_t>((i * i * 31 + 7 * i) % 499));
  }
  Chunks chunks(int64_t n_ctx) const {
    return {tokens, n_ctx, static_cast<int64_t>(tokens.size()) / n_ctx};
  }
};

// Written out from the definition: one chunk at a time, logits of positions n/2 .. n-2.
std::vector<double> direct_nll(const Tiny& tiny, int64_t n_ctx, base::ThreadPool& pool) {
  std::vector<double> nll;
  const auto width = static_cast<size_t>(tiny.opened.config.hidden);
  const auto vocab = static_cast<size_t>(tiny.opened.config.vocab);
  const model::ForwardContext context{tiny.opened.config, pool, kernels::table(), {}, nullptr};
  for (size_t begin = 0; begin + static_cast<size_t>(n_ctx) <= tiny.tokens.size();
       begin += static_cast<size_t>(n_ctx)) {
    model::SequenceState state(tiny.opened.config);
    const model::Segment segment{0, n_ctx, &state};
    std::vector<float> hidden(static_cast<size_t>(n_ctx) * width), row(vocab);
    tiny.model.forward(context, std::span(&segment, 1),
                       std::span(tiny.tokens).subspan(begin, static_cast<size_t>(n_ctx)),
                       hidden.data());
    for (int64_t p = n_ctx / 2; p <= n_ctx - 2; ++p) {
      model::logits(context, tiny.model.head(), hidden.data() + p * tiny.opened.config.hidden, 1,
                    {}, row.data());
      const auto next = static_cast<size_t>(tiny.tokens[begin + static_cast<size_t>(p) + 1]);
      double sum = 0;
      for (const float logit : row) sum += std::exp(static_cast<double>(logit));
      nll.push_back(std::log(sum) - static_cast<double>(row[next]));
    }
  }
  return nll;
}

TEST(Perplexity, EqualsTheDefinition) {
  const Tiny tiny(4 * 24);
  base::ThreadPool pool(2);
  const auto result =
      measure_perplexity(tiny.model, tiny.chunks(24), {.batch_tokens = 60}, "", 0, pool, nullptr);
  const std::vector<double> expected = direct_nll(tiny, 24, pool);
  ASSERT_EQ(result.nll.size(), expected.size());
  ASSERT_EQ(expected.size(), 4u * 11);
  double mean = 0;
  // Both add 512 doubles of about e^(+-10); the sums differ by less than 512 epsilon.
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_NEAR(result.nll[i], expected[i], 2e-13) << i;
    mean += expected[i] / static_cast<double>(expected.size());
  }
  EXPECT_NEAR(result.ppl.value, std::exp(mean), 1e-10 * std::exp(mean));
}

TEST(Perplexity, SameForAnyThreadsAndBatches) {
  const Tiny tiny(5 * 16);
  base::ThreadPool one(1), seven(7);
  const auto a =
      measure_perplexity(tiny.model, tiny.chunks(16), {.batch_tokens = 16}, "", 0, one, nullptr);
  const auto b =
      measure_perplexity(tiny.model, tiny.chunks(16), {.batch_tokens = 48}, "", 0, seven, nullptr);
  EXPECT_EQ(a.nll, b.nll);
  EXPECT_EQ(a.ppl_interval.low, b.ppl_interval.low);
}

TEST(Perplexity, RunningReportEndsAtTheResult) {
  const Tiny tiny(3 * 16);
  base::ThreadPool pool(1);
  double last = 0;
  int64_t calls = 0;
  const auto result = measure_perplexity(tiny.model, tiny.chunks(16), {}, "", 0, pool,
                                         [&](int64_t, double ppl) { last = ppl, ++calls; });
  EXPECT_EQ(calls, 3);
  EXPECT_NEAR(last, result.ppl.value, 1e-12 * last);
}

TEST(Perplexity, WritesABaseThatDivergesFromItsModelByItsRoundingOnly) {
  const Tiny tiny(2 * 16);
  const test::TempDir folder;
  base::ThreadPool pool(2);
  measure_perplexity(tiny.model, tiny.chunks(16), {}, folder.path("base.kld"), 0, pool, nullptr);
  const LogitsReader base(folder.path("base.kld"));
  EXPECT_EQ(base.header().tokens, tiny.tokens);
  const auto result = measure_divergence(tiny.model, base, {}, -1, 0, pool);
  EXPECT_LT(std::abs(result.kld.value), 16.0 / 65535 / 2);  // half a step of the stored values
  EXPECT_EQ(result.same_top.value, 1);
}

TEST(Perplexity, AgainstItselfADivergenceOfNothing) {
  const Tiny tiny(2 * 16);
  base::ThreadPool pool(2);
  const auto result = measure_divergence(tiny.model, {}, tiny.model, {}, tiny.chunks(16), 0, pool);
  EXPECT_EQ(result.kld.value, 0);
  EXPECT_EQ(result.ratio.value, 1);
}

TEST(Scorer, RefusesTokensOfAnotherVocabulary) {
  Tiny tiny(16);
  tiny.tokens[3] = 512;
  base::ThreadPool pool(1);
  EXPECT_THROW(ResidentScorer(tiny.model, tiny.chunks(16), {}, pool), base::Error);
}

// Each chunk of a batch has a state, however short it is.
TEST(Scorer, ShortChunksMakeNoMoreStates) {
  const Tiny tiny(40 * 4);
  base::ThreadPool pool(1);
  EXPECT_EQ(ResidentScorer(tiny.model, tiny.chunks(4), {}, pool).chunks_per_batch(), 16);
  const auto many = measure_perplexity(tiny.model, tiny.chunks(4), {}, "", 0, pool, nullptr);
  const auto one =
      measure_perplexity(tiny.model, tiny.chunks(4), {.batch_tokens = 4}, "", 0, pool, nullptr);
  EXPECT_EQ(many.nll, one.nll);
}

}  // namespace
}  // namespace karat::eval
