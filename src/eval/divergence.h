// Kullback-Leibler divergence of a model from a reference, over the full vocabulary in double, with
// llama-perplexity's statistics (FORMATS.md section 7.3) and a bootstrap over chunks.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "eval/estimate.h"
#include "eval/scorer.h"

namespace karat::eval {

// What is kept of every scored position.
struct TokenDivergence {
  double kld = 0;            // sum over i of p_i (log p_i - log q_i), p the reference
  double nll = 0;            // -log q of the token that followed
  double nll_base = 0;       // -log p of it
  double p = 0, p_base = 0;  // their probabilities
  bool same_top = false;     // same first token of largest probability
};

struct DivergenceResult {
  int64_t chunks = 0, tokens = 0;
  Estimate ppl, ppl_base;                // of model and reference
  Estimate ln_ratio, ratio, difference;  // ln(PPL_q/PPL_base), PPL_q/PPL_base, PPL_q - PPL_base
  double correlation = 0;                // of the two log-likelihoods (of their means)
  Estimate kld;
  Interval kld_interval;                                   // 95 %, bootstrap over chunks
  std::vector<std::pair<double, double>> kld_percentiles;  // {percent, value}, 100 = maximum
  Estimate delta_p, rms_delta_p;                           // q(t) - p(t), in shares of one
  std::vector<std::pair<double, double>> delta_p_percentiles;
  Estimate same_top;              // share
  std::vector<double> chunk_kld;  // mean per chunk, for paired comparisons
};

// One position from the two rows of logits or log-probabilities [vocab]. Both are normalised here,
// in double, so that neither's rounding makes a divergence. Entries whose reference probability is
// below e^-16 are left out as llama-perplexity does if `skip_tail`.
TokenDivergence compare_rows(std::span<const float> q, std::span<const float> reference,
                             int32_t target, bool skip_tail);

DivergenceResult summarize_divergence(const std::vector<TokenDivergence>& tokens, int64_t chunks,
                                      uint64_t seed);

// Reference from a logits file: log-probabilities as stored (not renormalised), tail skipped.
DivergenceResult measure_divergence(const exec::ResidentModel& model, const LogitsReader& base,
                                    const ScoreOptions& options, int64_t chunks_max, uint64_t seed,
                                    base::ThreadPool& pool);

// Reference from a second model, in step; full precision.
DivergenceResult measure_divergence(const exec::ResidentModel& model, const ScoreOptions& options,
                                    const exec::ResidentModel& reference,
                                    const ScoreOptions& reference_options, const Chunks& chunks,
                                    uint64_t seed, base::ThreadPool& pool);

// The same for models whose logits come from elsewhere. The two must be of the same chunks; the
// first one's chunks decide how many of a logits file are read.
DivergenceResult measure_divergence(Scorer& model, const LogitsReader& base, uint64_t seed,
                                    base::ThreadPool& pool);
DivergenceResult measure_divergence(Scorer& model, Scorer& reference, uint64_t seed,
                                    base::ThreadPool& pool);

// Several models of the same chunks in one walk, in their order: what is compared in pairs sees the
// same reference, and its logits are made once. At least one model.
std::vector<DivergenceResult> measure_divergences(std::span<Scorer* const> models,
                                                  const LogitsReader& base, uint64_t seed,
                                                  base::ThreadPool& pool);
std::vector<DivergenceResult> measure_divergences(std::span<Scorer* const> models,
                                                  Scorer& reference, uint64_t seed,
                                                  base::ThreadPool& pool);

// Error{bad_input} if the two cannot be compared.
void require_same_vocabulary(int64_t model, int64_t reference);

// The chunks of a logits file, at most chunks_max of them unless that is negative.
Chunks chunks_of(const LogitsReader& base, int64_t chunks_max);

}  // namespace karat::eval
