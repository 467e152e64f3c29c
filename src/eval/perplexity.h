// Perplexity by llama-perplexity's protocol (FORMATS.md section 7.1).
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "eval/estimate.h"
#include "eval/scorer.h"

namespace karat::eval {

struct PerplexityResult {
  std::vector<double> nll;  // [chunks * scored]: -log p of the token that followed
  int64_t chunks = 0, scored = 0;
  Estimate mean_nll;
  Estimate ppl;           // e^mean, error e^mean times the mean's error
  Interval ppl_interval;  // 95 %, bootstrap over chunks
};

// Running perplexity after each chunk, for whoever wants to show it.
using ChunkReport = std::function<void(int64_t chunk, double ppl_so_far)>;

// If `base_out` is not empty, the logits are written there as a logits file.
PerplexityResult measure_perplexity(const exec::ResidentModel& model, const Chunks& chunks,
                                    const ScoreOptions& options, const std::string& base_out,
                                    uint64_t seed, base::ThreadPool& pool,
                                    const ChunkReport& report);

// The same for a model whose logits come from elsewhere.
PerplexityResult measure_perplexity(Scorer& scorer, const std::string& base_out, uint64_t seed,
                                    base::ThreadPool& pool, const ChunkReport& report);

// Perplexity of a chunk-major list of negative log-likelihoods.
PerplexityResult summarize_perplexity(std::vector<double> nll, int64_t chunks, uint64_t seed);

}  // namespace karat::eval
