// Runs a corpus through a model as llama-perplexity does: every chunk from an empty state, the
// logits of the second half (but the last position) scored against the tokens that follow.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/threads.h"
#include "eval/logits_file.h"
#include "exec/resident.h"

namespace karat::eval {

// The tokens of an evaluation: [chunks * n_ctx].
struct Chunks {
  std::span<const int32_t> tokens;
  int64_t n_ctx = 512;
  int64_t count = 0;

  int64_t scored() const { return scored_per_chunk(n_ctx); }
  int64_t first_scored() const { return n_ctx / 2; }
  // The token that scored row i of a chunk has to predict.
  int32_t target(int64_t chunk, int64_t i) const {
    return tokens[static_cast<size_t>(chunk * n_ctx + first_scored() + i + 1)];
  }
};

struct ScoreOptions {
  int64_t batch_tokens = 2048;  // tokens per forward pass (whole chunks, at least one)
  model::ForwardOptions forward = {};
  // Called in every pass, and may change it; must outlive the scorer. Null: nothing.
  model::Tap* tap = nullptr;
};

// The logits of one model at the scored positions, made one batch of chunks at a time so that two
// models can go in step.
class Scorer {
 public:
  Scorer(const model::Config& config, const Chunks& chunks) : config_(config), chunks_(chunks) {}
  virtual ~Scorer() = default;
  Scorer(const Scorer&) = delete;
  Scorer& operator=(const Scorer&) = delete;

  // Chunks [first, first + count), count <= chunks_per_batch(), come next. Error{bad_input} naming
  // the model if it computes NaN.
  virtual void run(int64_t first, int64_t count) = 0;
  virtual int64_t chunks_per_batch() const = 0;
  // Logits [scored, vocab] of a chunk of the last run(); valid until the next call.
  virtual const float* logits(int64_t chunk) = 0;

  const Chunks& chunks() const { return chunks_; }
  int64_t vocab() const { return config_.vocab; }

 protected:
  const model::Config& config_;
  Chunks chunks_;
};

// Of a model in memory, which must outlive it, as must the chunks' tokens.
class ResidentScorer : public Scorer {
 public:
  // Error{bad_input} if a token is not in the model's vocabulary.
  ResidentScorer(const exec::ResidentModel& model, const Chunks& chunks,
                 const ScoreOptions& options, base::ThreadPool& pool);
  // Bytes beside the weights that a run takes at most. An estimate, from shapes alone.
  static uint64_t bytes_needed(const tensor::TensorSource& source, const model::Config& config,
                               const Chunks& chunks, const ScoreOptions& options);
  void run(int64_t first, int64_t count) override;
  int64_t chunks_per_batch() const override { return per_batch_; }
  const float* logits(int64_t chunk) override;

 private:
  const exec::ResidentModel& model_;
  ScoreOptions options_;
  base::ThreadPool& pool_;
  int64_t per_batch_;
  int64_t first_ = 0;
  std::vector<float> hidden_;  // [count * n_ctx, H]
  std::vector<float> logits_;
};

// A scorer that goes with others chunk by chunk, whatever the size of its batches.
class InStep {
 public:
  explicit InStep(Scorer& scorer) : scorer_(&scorer) {}
  // Of chunk 0, 1, 2, ..: as Scorer::logits(), after a run() where one is due.
  const float* logits(int64_t chunk);

 private:
  Scorer* scorer_;
  int64_t ready_ = 0;  // chunks that have been run
};

// Log of the sum of exp over a row, in double: with it, log p_i = logit_i - log_sum_exp.
double log_sum_exp(std::span<const float> logits);

// Error{bad_input} if a model's log-probability or divergence is NaN.
void require_number(double value);

}  // namespace karat::eval
