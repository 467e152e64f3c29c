// A model whose weights are in memory, its experts perhaps only in part: serving, chat, and
// evaluation and calibration of models that fit.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/threads.h"
#include "exec/expert_cache.h"
#include "model/forward.h"
#include "tensor/source.h"

namespace karat::exec {

// Error{bad_input} naming the model if a value that was computed with it, a hidden row or a logit,
// is NaN or infinite.
void require_finite(const std::string& origin, std::span<const float> values);

class ResidentModel {
 public:
  // Reads every weight from `source` (not needed afterwards). Binds the MTP block if the config has
  // one and `with_mtp`. The layout decides which Activations the passes may use; packing is done by
  // `pool`, if there is one. Errors as the bind_* functions.
  ResidentModel(const tensor::TensorSource& source, model::Config config, bool with_mtp,
                model::Layout layout = model::Layout::rows, base::ThreadPool* pool = nullptr);
  // With at most about `experts_max` bytes of experts in memory; the others are read from `source`
  // when a pass needs them (ExpertCache). Source and pool must outlive the model. The same results.
  // Error{memory} if the experts of one block do not fit.
  ResidentModel(const tensor::TensorSource& source, model::Config config, bool with_mtp,
                model::Layout layout, base::ThreadPool& pool, uint64_t experts_max);

  const model::Config& config() const { return config_; }
  // The arithmetic of a run that asks for nothing else: q8 for panels, f32 for rows.
  model::Activations activations() const {
    return layout_ == model::Layout::panels ? model::Activations::q8 : model::Activations::f32;
  }
  // The file or folder that the weights come from, for messages.
  const std::string& origin() const { return origin_; }
  void require_finite(std::span<const float> values) const {
    exec::require_finite(origin_, values);
  }
  const model::HeadWeights& head() const { return head_; }
  const model::MtpWeights* mtp() const { return mtp_ ? &*mtp_ : nullptr; }
  // Null if all experts are in memory.
  const ExpertCache* experts() const { return experts_.get(); }
  // Trunk: embeds `tokens` (all segments' rows in order), runs every block and the final norm,
  // advances the states. hidden: [tokens.size(), H], the rows that go into the head (and into the
  // MTP block). Passes of a model whose experts come and go run one at a time. If it throws, as
  // only the reading of experts does, the states are of no further use.
  void forward(const model::ForwardContext& context, std::span<const model::Segment> segments,
               std::span<const int32_t> tokens, float* hidden) const;

 private:
  void bind(const tensor::TensorSource& source, bool with_mtp);

  model::Config config_;
  std::string origin_;
  model::Layout layout_;
  model::WeightBytes bytes_;
  model::HeadWeights head_;
  std::vector<model::BlockWeights> blocks_;
  std::optional<model::MtpWeights> mtp_;
  std::unique_ptr<ExpertCache> experts_;
};

}  // namespace karat::exec
