#include "eval/scorer.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/interrupt.h"
#include "exec/batch_limits.h"
#include "exec/memory_plan.h"
#include "exec/stream.h"
#include "kernels/dispatch.h"

namespace karat::eval {

namespace {

int64_t batch_of(const Chunks& chunks, const ScoreOptions& options) {
  return std::clamp<int64_t>(options.batch_tokens / chunks.n_ctx, 1, exec::kSequencesMax);
}

}  // namespace

uint64_t ResidentScorer::bytes_needed(const tensor::TensorSource& source,
                                      const model::Config& config, const Chunks& chunks,
                                      const ScoreOptions& options) {
  const int64_t count = batch_of(chunks, options), tokens = count * chunks.n_ctx;
  const uint64_t cache = static_cast<uint64_t>(exec::attention_layers(config) * tokens) *
                         exec::cache_row_bytes(config, {});
  const uint64_t states = static_cast<uint64_t>(count) * exec::delta_state_bytes(config);
  const int64_t floats = tokens * config.hidden + chunks.scored() * config.vocab;
  const exec::StreamMemory pass = exec::LayerStream::memory(
      source, config, tokens, chunks.n_ctx, {.batch_tokens = tokens, .forward = options.forward});
  return cache + states + static_cast<uint64_t>(floats) * sizeof(float) + pass.scratch;
}

ResidentScorer::ResidentScorer(const exec::ResidentModel& model, const Chunks& chunks,
                               const ScoreOptions& options, base::ThreadPool& pool)
    : Scorer(model.config(), chunks), model_(model), options_(options), pool_(pool) {
  CHECK(chunks.n_ctx >= 4);
  per_batch_ = batch_of(chunks, options);
  for (const int32_t token : chunks.tokens) {
    if (token >= 0 && token < model.config().vocab) continue;
    throw base::fail(base::ErrorKind::bad_input,
                     "token %d is not in the model's vocabulary of %lld; the texts were tokenized "
                     "for another model",
                     token, static_cast<long long>(model.config().vocab));
  }
}

void ResidentScorer::run(int64_t first, int64_t count) {
  base::stop_if_interrupted();
  const model::Config& config = model_.config();
  std::vector<model::SequenceState> states(static_cast<size_t>(count),
                                           model::SequenceState(config));
  std::vector<model::Segment> segments;
  for (int64_t i = 0; i < count; ++i) {
    segments.push_back({first + i, chunks_.n_ctx, &states[static_cast<size_t>(i)]});
  }
  const auto tokens = chunks_.tokens.subspan(static_cast<size_t>(first * chunks_.n_ctx),
                                             static_cast<size_t>(count * chunks_.n_ctx));
  first_ = first;
  hidden_.resize(tokens.size() * static_cast<size_t>(config.hidden));
  const model::ForwardContext context{config, pool_, kernels::table(), options_.forward,
                                      options_.tap};
  model_.forward(context, segments, tokens, hidden_.data());
  model_.require_finite(hidden_);
}

const float* ResidentScorer::logits(int64_t chunk) {
  const model::Config& config = model_.config();
  logits_.resize(static_cast<size_t>(chunks_.scored() * config.vocab));
  const int64_t row = (chunk - first_) * chunks_.n_ctx + chunks_.first_scored();
  const model::ForwardContext context{config, pool_, kernels::table(), options_.forward, nullptr};
  model::logits(context, model_.head(), hidden_.data() + row * config.hidden, chunks_.scored(), {},
                logits_.data());
  model_.require_finite(logits_);
  return logits_.data();
}

const float* InStep::logits(int64_t chunk) {
  if (chunk == ready_) {
    const int64_t left = scorer_->chunks().count - chunk;
    const int64_t count = std::min(scorer_->chunks_per_batch(), left);
    scorer_->run(chunk, count);
    ready_ += count;
  }
  return scorer_->logits(chunk);
}

void require_number(double value) {
  if (!std::isnan(value)) return;
  throw base::fail(base::ErrorKind::bad_input, "the model computes NaN; its weights are damaged");
}

double log_sum_exp(std::span<const float> logits) {
  const float high = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit) - high);
  return static_cast<double>(high) + std::log(sum);
}

}  // namespace karat::eval
