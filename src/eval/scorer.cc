#include "eval/scorer.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/interrupt.h"
#include "kernels/dispatch.h"

namespace karat::eval {

ResidentScorer::ResidentScorer(const exec::ResidentModel& model, const Chunks& chunks,
                               const ScoreOptions& options, base::ThreadPool& pool)
    : Scorer(model.config(), chunks), model_(model), options_(options), pool_(pool) {
  CHECK(chunks.n_ctx >= 4);
  per_batch_ = std::max<int64_t>(1, options.batch_tokens / chunks.n_ctx);
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
  const model::ForwardContext context{config, pool_, kernels::table(), options_.forward, nullptr};
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
