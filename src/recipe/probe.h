// How far another set of weights takes a model's predictions from the original's, measured on a few
// sequences again and again: the passes begin at the first block that differs.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/fingerprint.h"
#include "base/threads.h"
#include "calib/packet.h"
#include "eval/hidden_rows.h"
#include "model/config.h"
#include "recipe/plan_cache.h"
#include "tensor/source.h"

namespace karat::recipe {

// Windows of a calibration text, all of one length, as an evaluation's chunks.
struct ProbeText {
  std::vector<int32_t> tokens;  // [count, n_ctx]
  int64_t n_ctx = 0, count = 0;
  eval::Chunks chunks() const { return {tokens, n_ctx, count}; }
  std::string hash() const;
};

// Seeded windows of whole sequences (several, one after the other, where they are shorter), without
// overlap: the first `skip` windows of that order are left out, the next `count` taken, or as many
// as there are. Error{usage} if there is none.
ProbeText choose_windows(const calib::Packet& packet, int64_t n_ctx, int64_t skip, int64_t count,
                         uint64_t seed);

class Probe {
 public:
  // Runs the original over the text and keeps the rows between its blocks. All must outlive it.
  Probe(const tensor::TensorSource& original, const model::Config& config, const ProbeText& text,
        const model::ForwardOptions& forward, base::ThreadPool& pool);
  ~Probe();
  // What a probe holds, the weights of a pass included.
  static uint64_t bytes_needed(const tensor::TensorSource& original, const model::Config& config,
                               int64_t tokens, int64_t n_ctx, const model::ForwardOptions& forward);

  // Mean divergence (nats) at the scored positions of each window, [count], of `other` from the
  // original. Blocks before `first_layer` are as the original's: -1 if the embedding differs, too;
  // config.layers() if only output.weight does.
  std::vector<double> divergence(const tensor::TensorSource& other, int64_t first_layer);

 private:
  eval::HiddenRows rows_after(const tensor::TensorSource& source, int64_t first_layer, bool keep);

  const tensor::TensorSource& original_;
  const model::Config& config_;
  const ProbeText& text_;
  model::ForwardOptions forward_;
  base::ThreadPool& pool_;
  std::vector<std::vector<float>>
      entering_;  // [layers + 1]: rows that enter each block [tokens, H]
  eval::HiddenRows reference_;
  std::unique_ptr<eval::HiddenScorer> reference_scorer_;
};

// A probe that keeps its results, and is made when the first is not there. All must outlive it.
class CachedProbe {
 public:
  // `model`: the original's identity.
  CachedProbe(const tensor::TensorSource& original, const model::Config& config,
              const ProbeText& text, const std::string& model, const PlanCache& cache,
              base::ThreadPool& pool);
  // Probe::divergence() and its mean over the windows; `what` says what `other` is.
  std::vector<double> divergence(const base::Fingerprint& what, const tensor::TensorSource& other,
                                 int64_t first_layer);
  double mean_divergence(const base::Fingerprint& what, const tensor::TensorSource& other,
                         int64_t first_layer);

 private:
  const tensor::TensorSource& original_;
  const model::Config& config_;
  const ProbeText& text_;
  const std::string& model_;
  const PlanCache& cache_;
  base::ThreadPool& pool_;
  std::unique_ptr<Probe> probe_;
};

}  // namespace karat::recipe
