// How fast a model runs, by llama-bench's protocol: random token ids, one warm-up, the wall time of
// each repetition from an empty (or a prefilled) state, logits of the last prompt token only.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/rng.h"
#include "base/threads.h"
#include "eval/estimate.h"
#include "exec/resident.h"
#include "exec/session.h"

namespace karat::eval {

struct SpeedTest {
  int64_t prompt = 0;    // tokens of the prompt
  int64_t generate = 0;  // tokens decoded one by one afterwards
  int64_t depth = 0;     // tokens that are in the context before, untimed

  int64_t tokens() const { return prompt + generate; }
  // llama-bench's: "pp512", "tg128", "pp512+tg128", with " @ d4096" behind it.
  std::string name() const;
};

// llama-bench's list: every depth with each prompt alone, each generation alone, and each pair;
// zeros stand for "none" and are left out.
std::vector<SpeedTest> speed_tests(std::span<const int64_t> prompts,
                                   std::span<const int64_t> generations,
                                   std::span<const std::pair<int64_t, int64_t>> pairs,
                                   std::span<const int64_t> depths);

// Nanoseconds of each repetition and what llama-bench makes of them.
struct SpeedSamples {
  std::vector<int64_t> ns;

  // Tokens per second of each repetition.
  std::vector<double> rates(const SpeedTest& test) const;
};
// Sample standard deviation (n - 1); 0 for fewer than two.
double sample_deviation(std::span<const double> samples);
double median_of(std::vector<double> samples);

// Ratio of the medians of two series of paired samples, a over b, and its 95 % interval by a
// bootstrap over the pairs. Both have the same size, at least 1.
struct SpeedRatio {
  double value = 0;
  Interval interval;
};
SpeedRatio ratio_of_medians(std::span<const double> a, std::span<const double> b, uint64_t seed);

struct SpeedSettings {
  int64_t piece_tokens = exec::Session::kPieceTokens;  // that go through the model at a time
  model::CacheTypes cache = {};
  uint64_t seed = 0;
};

class SpeedRunner {
 public:
  // Model and pool must outlive the runner.
  SpeedRunner(const exec::ResidentModel& model, base::ThreadPool& pool, SpeedSettings settings);

  // As llama-bench warms up: the whole prompt, one generated token.
  void warm_up(const SpeedTest& test);
  // One repetition; nanoseconds. Fills the context up to the depth first, untimed; the filled state
  // is kept for further repetitions at the same depth.
  int64_t run(const SpeedTest& test);

 private:
  exec::Session at_depth(const SpeedTest& test);
  void feed(exec::Session& session, int64_t tokens);

  const exec::ResidentModel& model_;
  base::ThreadPool& pool_;
  SpeedSettings settings_;
  base::Rng rng_;
  std::optional<exec::Session> deep_;  // of the last depth
};

// What a token costs, counted from the tensors as they are stored.
struct TokenCost {
  // Read for each decoded token: dense tensors, experts_used of each layer's experts, the head, one
  // row of the embedding.
  uint64_t weight_bytes = 0;
  uint64_t state_bytes = 0;  // DeltaNet state and convolution windows, read and written
  uint64_t cache_bytes = 0;  // keys and values of one earlier position, read
  double flops = 0;          // two per active weight, and the delta rule; without the head
  double head_flops = 0;
  double flops_per_position = 0;  // attention to one earlier position

  // Bytes that a decoded token of the test moves, on average over the growing context.
  double decode_bytes(const SpeedTest& test) const;
  // Of the whole test; a prompt takes the head once.
  double test_flops(const SpeedTest& test) const;
};
TokenCost token_cost(const tensor::TensorSource& source, const model::Config& config,
                     model::CacheTypes cache);

}  // namespace karat::eval
