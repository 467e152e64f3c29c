// Choosing the next token from logits, in llama.cpp's order: presence penalty, top-k, top-p, min-p,
// temperature, draw.
#pragma once

#include <cstdint>
#include <span>
#include <unordered_set>
#include <vector>

#include "base/rng.h"

namespace karat::exec {

struct SamplerOptions {
  double temperature = 1.0;  // 0: the most probable token, always
  int64_t top_k = 20;        // 0: no limit
  double top_p = 0.95;       // 1: no limit
  double min_p = 0;          // 0: no limit; share of the most probable token's probability
  double presence_penalty = 0;
  uint64_t seed = 0;
};

// One reply's random choices; reproducible from the seed.
class Sampler {
 public:
  explicit Sampler(const SamplerOptions& options) : options_(options), rng_(options.seed) {}

  // The next token. Only the first `usable` entries are candidates (rows beyond the tokenizer's
  // last token are padding). Ties go to the lower id. Remembers the token for the presence penalty.
  int32_t next(std::span<const float> logits, int64_t usable);

 private:
  struct Candidate {
    int32_t id;
    float logit;
    double probability;
  };
  std::vector<Candidate> candidates(std::span<const float> logits, int64_t usable) const;
  int32_t draw(const std::vector<Candidate>& candidates);

  SamplerOptions options_;
  base::Rng rng_;
  std::unordered_set<int32_t> seen_;
};

}  // namespace karat::exec
