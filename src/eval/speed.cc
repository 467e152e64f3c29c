#include "eval/speed.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "base/error.h"
#include "base/text.h"
#include "exec/memory_plan.h"
#include "model/names.h"

namespace karat::eval {

using base::strf;

std::string SpeedTest::name() const {
  std::string text;
  if (prompt > 0) text += strf("pp%lld", static_cast<long long>(prompt));
  if (prompt > 0 && generate > 0) text += "+";
  if (generate > 0) text += strf("tg%lld", static_cast<long long>(generate));
  if (depth > 0) text += strf(" @ d%lld", static_cast<long long>(depth));
  return text;
}

std::vector<SpeedTest> speed_tests(std::span<const int64_t> prompts,
                                   std::span<const int64_t> generations,
                                   std::span<const std::pair<int64_t, int64_t>> pairs,
                                   std::span<const int64_t> depths) {
  std::vector<SpeedTest> tests;
  const auto add = [&](int64_t prompt, int64_t generate, int64_t depth) {
    if (prompt > 0 || generate > 0) tests.push_back({prompt, generate, depth});
  };
  for (const int64_t depth : depths) {
    for (const int64_t prompt : prompts) add(prompt, 0, depth);
    for (const int64_t generate : generations) add(0, generate, depth);
    for (const auto& [prompt, generate] : pairs) add(prompt, generate, depth);
  }
  return tests;
}

std::vector<double> SpeedSamples::rates(const SpeedTest& test) const {
  std::vector<double> out;
  for (const int64_t one : ns) {
    out.push_back(1e9 * static_cast<double>(test.tokens()) / static_cast<double>(one));
  }
  return out;
}

double sample_deviation(std::span<const double> samples) {
  if (samples.size() < 2) return 0;
  const double mean = mean_of(samples).value;
  double sum = 0;
  for (const double sample : samples) sum += (sample - mean) * (sample - mean);
  return std::sqrt(sum / static_cast<double>(samples.size() - 1));
}

double median_of(std::vector<double> samples) {
  std::ranges::sort(samples);
  return percentile(samples, 0.5);
}

SpeedRatio ratio_of_medians(std::span<const double> a, std::span<const double> b, uint64_t seed) {
  CHECK(a.size() == b.size() && !a.empty());
  const auto ratio = [&](std::span<const int64_t> drawn) {
    std::vector<double> ours, theirs;
    for (const int64_t pair : drawn) {
      ours.push_back(a[static_cast<size_t>(pair)]);
      theirs.push_back(b[static_cast<size_t>(pair)]);
    }
    return median_of(std::move(ours)) / median_of(std::move(theirs));
  };
  const double value = median_of({a.begin(), a.end()}) / median_of({b.begin(), b.end()});
  return {value, bootstrap(static_cast<int64_t>(a.size()), seed, ratio)};
}

SpeedRunner::SpeedRunner(const exec::ResidentModel& model, base::ThreadPool& pool,
                         SpeedSettings settings)
    : model_(model), pool_(pool), settings_(settings), rng_(settings.seed) {}

void SpeedRunner::feed(exec::Session& session, int64_t tokens) {
  std::vector<int32_t> ids(static_cast<size_t>(tokens));
  const auto vocab = static_cast<uint64_t>(model_.config().vocab);
  for (int32_t& id : ids) id = static_cast<int32_t>(rng_.below(vocab));
  session.feed(ids);
}

exec::Session SpeedRunner::at_depth(const SpeedTest& test) {
  const int64_t room = test.depth + test.tokens();
  if (test.depth == 0 || !deep_ || deep_->length() != test.depth || deep_->room() < test.tokens()) {
    deep_.emplace(model_, pool_, room, model::ForwardOptions{.activations = model_.activations()},
                  settings_.cache);
    deep_->set_piece_tokens(settings_.piece_tokens);
    if (test.depth > 0) feed(*deep_, test.depth);
  }
  return *deep_;
}

void SpeedRunner::warm_up(const SpeedTest& test) {
  exec::Session session = at_depth(test);
  if (test.prompt > 0) feed(session, test.prompt);
  if (test.generate > 0) feed(session, 1);
}

int64_t SpeedRunner::run(const SpeedTest& test) {
  exec::Session session = at_depth(test);
  const auto start = std::chrono::steady_clock::now();
  if (test.prompt > 0) feed(session, test.prompt);
  for (int64_t i = 0; i < test.generate; ++i) feed(session, 1);
  const std::chrono::nanoseconds took = std::chrono::steady_clock::now() - start;
  return std::max<int64_t>(took.count(), 1);
}

double TokenCost::decode_bytes(const SpeedTest& test) const {
  const double length =
      static_cast<double>(test.depth + test.prompt) + static_cast<double>(test.generate) / 2;
  return static_cast<double>(weight_bytes + state_bytes) +
         static_cast<double>(cache_bytes) * length;
}

double TokenCost::test_flops(const SpeedTest& test) const {
  const auto tokens = static_cast<double>(test.tokens());
  const double length = static_cast<double>(test.depth) + tokens / 2;
  const double heads = static_cast<double>(test.generate) + (test.prompt > 0 ? 1 : 0);
  return tokens * (flops + flops_per_position * length) + heads * head_flops;
}

TokenCost token_cost(const tensor::TensorSource& source, const model::Config& config,
                     model::CacheTypes cache) {
  TokenCost cost;
  for (const tensor::TensorInfo& info : source.tensors()) {
    if (model::layer_of(info.name) >= config.layers()) continue;  // the MTP block
    auto bytes = static_cast<uint64_t>(info.bytes());
    int64_t weights = info.shape.elements();
    if (info.name == model::kTokenEmbd && !config.tied_embeddings) {
      cost.weight_bytes += static_cast<uint64_t>(info.row_bytes());
      continue;
    }
    if (info.shape.experts() > 1) {
      const int64_t used = std::min(config.experts_used, info.shape.experts());
      bytes = bytes / static_cast<uint64_t>(info.shape.experts()) * static_cast<uint64_t>(used);
      weights = weights / info.shape.experts() * used;
    }
    cost.weight_bytes += bytes;
    const bool head = info.name == model::kOutput || info.name == model::kTokenEmbd;
    (head ? cost.head_flops : cost.flops) += 2 * static_cast<double>(weights);
  }
  const int64_t attention = exec::attention_layers(config);
  cost.state_bytes = 2 * exec::delta_state_bytes(config);
  cost.cache_bytes = static_cast<uint64_t>(attention) * exec::cache_row_bytes(config, cache);
  // Decay, S k, the rank-one update and S q: eight per element of the state.
  cost.flops += 8 * static_cast<double>((config.layers() - attention) * config.value_heads *
                                        config.key_dim * config.value_dim);
  cost.flops_per_position = 4 * static_cast<double>(attention * config.query_width());
  return cost;
}

}  // namespace karat::eval
