#include "recipe/probe.h"

#include <algorithm>
#include <numeric>

#include "base/error.h"
#include "base/hash.h"
#include "base/rng.h"
#include "eval/divergence.h"
#include "exec/batches.h"
#include "exec/stream.h"
#include "model/activations.h"
#include "model/identity.h"
#include "receipt/receipt.h"

namespace karat::recipe {

std::string ProbeText::hash() const { return base::sha256_hex(std::as_bytes(std::span(tokens))); }

ProbeText choose_windows(const calib::Packet& packet, int64_t n_ctx, int64_t skip, int64_t count,
                         uint64_t seed) {
  base::Rng rng(seed);
  std::vector<size_t> order(packet.ends.size());
  std::iota(order.begin(), order.end(), size_t{0});
  rng.shuffle(order);
  ProbeText text;
  text.n_ctx = n_ctx;
  std::vector<int32_t> window;
  int64_t seen = 0;
  for (const size_t sequence : order) {
    for (const int32_t token : packet.sequence(sequence)) {
      window.push_back(token);
      if (static_cast<int64_t>(window.size()) < n_ctx) continue;
      if (seen++ >= skip && text.count < count) {
        text.tokens.insert(text.tokens.end(), window.begin(), window.end());
        ++text.count;
      }
      window.clear();
    }
  }
  if (text.count == 0) {
    throw base::fail(base::ErrorKind::usage,
                     "the calibration text has fewer than %lld tokens; calibrate with more",
                     static_cast<long long>((skip + 1) * n_ctx));
  }
  return text;
}

Probe::Probe(const tensor::TensorSource& original, const model::Config& config,
             const ProbeText& text, const model::ForwardOptions& forward, base::ThreadPool& pool)
    : original_(original), config_(config), text_(text), forward_(forward), pool_(pool) {
  reference_ = rows_after(original, -1, true);
  reference_scorer_ =
      std::make_unique<eval::HiddenScorer>(original, config, reference_, forward, pool);
}

Probe::~Probe() = default;

uint64_t Probe::bytes_needed(const tensor::TensorSource& original, const model::Config& config,
                             int64_t tokens, int64_t n_ctx, const model::ForwardOptions& forward) {
  const exec::StreamMemory stream =
      exec::LayerStream::memory(original, config, tokens, n_ctx, {.forward = forward});
  const std::vector<int32_t> none;
  const eval::Chunks chunks{none, n_ctx, tokens / n_ctx};
  return stream.total() + stream.rows * static_cast<uint64_t>(config.layers() + 1) +
         2 * (eval::hidden_rows_bytes(config, chunks) +
              eval::HiddenScorer::bytes_needed(original, config, chunks));
}

eval::HiddenRows Probe::rows_after(const tensor::TensorSource& source, int64_t first_layer,
                                   bool keep) {
  const std::vector<int64_t> ends = exec::equal_ends(text_.count, text_.n_ctx);
  exec::LayerStream stream(source, config_, text_.tokens, ends, {.forward = forward_}, pool_);
  const auto snapshot = [&] {
    if (keep) entering_.emplace_back(stream.rows().begin(), stream.rows().end());
  };
  if (first_layer < 0) {
    stream.start();
  } else {
    const std::vector<float>& rows = entering_.at(static_cast<size_t>(first_layer));
    std::copy(rows.begin(), rows.end(), stream.rows().begin());
    stream.start_at(first_layer);
  }
  snapshot();
  while (!stream.done()) {
    stream.run(nullptr, {});
    snapshot();
  }
  exec::require_finite(source.origin(), stream.rows());
  eval::HiddenRows out;
  out.n_ctx = text_.n_ctx, out.count = text_.count, out.width = config_.hidden;
  out.tokens = text_.tokens;
  out.model = model::trunk_identity(source, config_);
  out.activations = std::string(model::activations_name(forward_.activations));
  const eval::Chunks chunks = text_.chunks();
  for (int64_t chunk = 0; chunk < chunks.count; ++chunk) {
    const int64_t first = chunk * chunks.n_ctx + chunks.first_scored();
    const float* begin = stream.rows().data() + first * config_.hidden;
    out.rows.insert(out.rows.end(), begin, begin + chunks.scored() * config_.hidden);
  }
  return out;
}

std::vector<double> Probe::divergence(const tensor::TensorSource& other, int64_t first_layer) {
  const eval::HiddenRows rows = rows_after(other, first_layer, false);
  eval::HiddenScorer scorer(other, config_, rows, forward_, pool_);
  const eval::Chunks chunks = text_.chunks();
  const int64_t scored = chunks.scored(), vocab = config_.vocab;
  std::vector<double> means, tokens(static_cast<size_t>(scored));
  for (int64_t chunk = 0; chunk < chunks.count; ++chunk) {
    scorer.run(chunk, 1);
    reference_scorer_->run(chunk, 1);
    const float *ours = scorer.logits(chunk), *theirs = reference_scorer_->logits(chunk);
    pool_.for_each(scored, [&](int64_t i, int) {
      const auto width = static_cast<size_t>(vocab);
      tokens[static_cast<size_t>(i)] =
          eval::compare_rows({ours + i * vocab, width}, {theirs + i * vocab, width},
                             chunks.target(chunk, i), false)
              .kld;
    });
    double sum = 0;
    for (const double kld : tokens) sum += kld;
    eval::require_number(sum);
    means.push_back(sum / static_cast<double>(scored));
  }
  return means;
}

CachedProbe::CachedProbe(const tensor::TensorSource& original, const model::Config& config,
                         const ProbeText& text, const std::string& model, const PlanCache& cache,
                         base::ThreadPool& pool)
    : original_(original),
      config_(config),
      text_(text),
      model_(model),
      cache_(cache),
      pool_(pool) {}

std::vector<double> CachedProbe::divergence(const base::Fingerprint& what,
                                            const tensor::TensorSource& other,
                                            int64_t first_layer) {
  base::Fingerprint key = {{"version", receipt::kVersion},
                           {"model", model_},
                           {"text", text_.hash()},
                           {"context", std::to_string(text_.n_ctx)}};
  key.insert(key.end(), what.begin(), what.end());
  std::vector<double> windows;
  if (const auto kept = cache_.find(key)) {
    for (const base::Json& value : kept->as_array()) windows.push_back(value.as_double());
    return windows;
  }
  if (!probe_) {
    probe_ = std::make_unique<Probe>(original_, config_, text_, model::ForwardOptions{}, pool_);
  }
  windows = probe_->divergence(other, first_layer);
  cache_.keep(key, base::Json(base::Json::Array(windows.begin(), windows.end())));
  return windows;
}

double CachedProbe::mean_divergence(const base::Fingerprint& what,
                                    const tensor::TensorSource& other, int64_t first_layer) {
  const std::vector<double> windows = divergence(what, other, first_layer);
  return std::accumulate(windows.begin(), windows.end(), 0.0) / static_cast<double>(windows.size());
}

}  // namespace karat::recipe
