// The numbers that llama-perplexity printed for the tiny model (reference-numbers.json and the
// logits file made with it), from karat's own engine.
#include <gtest/gtest.h>

#include <cmath>

#include "base/file.h"
#include "eval/divergence.h"
#include "eval/perplexity.h"
#include "model/open.h"
#include "support/shared.h"

namespace karat {
namespace {

using test::fixture;
using test::shared_file;

struct Loaded {
  explicit Loaded(const std::string& path)
      : opened(model::open_model(path)), model(*opened.source, opened.config, false) {}
  model::OpenedModel opened;
  exec::ResidentModel model;
};

TEST(LlamaPerplexity, PerplexityOfTheFloatModel) {
  const std::string base_file =
      shared_file("fixtures/goldens/llama_cpp/tiny-f32-c128-16chunks.kld");
  if (base_file.empty()) GTEST_SKIP() << "the logits file is not part of the repository";
  const eval::LogitsReader base(base_file);
  const Loaded tiny(fixture("goldens/gguf/tiny-f32.gguf"));
  base::ThreadPool pool(2);
  const eval::Chunks chunks{base.header().tokens, base.header().n_ctx, base.header().n_chunk};
  const auto result = eval::measure_perplexity(tiny.model, chunks, {}, "", 0, pool, nullptr);
  std::printf("perplexity %.4f, llama-perplexity 4074.9422\n", result.ppl.value);
  // Logits agree to 2e-4 (the fixtures' tolerance), so each negative log-likelihood to 4e-4 and the
  // perplexity to 4e-4 of itself; stock printed four decimals.
  EXPECT_NEAR(result.ppl.value, 4074.9422, 4e-4 * 4074.9422);
  EXPECT_NEAR(result.ppl.error, 264.02549, 4e-3 * 264.02549);
}

TEST(LlamaPerplexity, DivergenceOfTheFloatModelIsItsFilesRounding) {
  const std::string base_file =
      shared_file("fixtures/goldens/llama_cpp/tiny-f32-c128-16chunks.kld");
  if (base_file.empty()) GTEST_SKIP() << "the logits file is not part of the repository";
  const eval::LogitsReader base(base_file);
  const Loaded tiny(fixture("goldens/gguf/tiny-f32.gguf"));
  base::ThreadPool pool(2);
  const auto result = eval::measure_divergence(tiny.model, base, {}, -1, 0, pool);
  std::printf("KLD of F32 to stock's file %.3g\n", result.kld.value);
  // Stored log-probabilities are off by at most half a step of 16/65535 and logits by 2e-4: |KLD|
  // <= sum p |log p - log q| <= 1.3e-4 + 4e-4.
  EXPECT_LT(std::abs(result.kld.value), 5.3e-4);
}

TEST(LlamaPerplexity, RowsOfTheQ8_0FileWithStocksRounding) {
  const std::string base_file =
      shared_file("fixtures/goldens/llama_cpp/tiny-f32-c128-16chunks.kld");
  if (base_file.empty()) GTEST_SKIP() << "the logits file is not part of the repository";
  const eval::LogitsReader base(base_file);
  const Loaded q8(fixture("goldens/llama_cpp/tiny-Q8_0.gguf"));
  base::ThreadPool pool(2);
  eval::ScoreOptions options;
  options.forward.activations = model::Activations::stock;
  const auto result = eval::measure_divergence(q8.model, base, options, -1, 0, pool);
  std::printf("KLD of Q8_0 %.5f, llama-perplexity 0.081437 +- 0.007438\n", result.kld.value);
  // The same file on the same tokens; what differs is the order of float additions, which flips
  // experts of this random net. Stock's standard error bounds what such flips can move.
  EXPECT_NEAR(result.kld.value, 0.081437, 0.007438);
  EXPECT_NEAR(result.ppl.value, 4041.871, 261.71);
  EXPECT_NEAR(result.correlation, 0.9797, 0.01);
  EXPECT_NEAR(result.same_top.value, 0.81448, 0.0122);
}

}  // namespace
}  // namespace karat
