#include "recipe/fit.h"

#include <algorithm>

#include "exec/stream.h"
#include "model/names.h"
#include "recipe/mixture.h"

namespace karat::recipe {

namespace {

constexpr model::CacheTypes kSmallCache{tensor::DType::q8_0, tensor::DType::q8_0};

int64_t context_within(const exec::MemoryPlan& plan, const model::Config& config,
                       uint64_t bytes_allowed) {
  return std::min(plan.context_that_fits(bytes_allowed), config.context_max);
}

// Presets for any model: not those of one or two bits that a model has to be trained for.
bool is_general(const Preset& preset) {
  switch (preset.ftype) {
    case Ftype::q1_0:
    case Ftype::q2_0:
    case Ftype::tq1_0:
    case Ftype::tq2_0:
    case Ftype::mxfp4_moe:
      return false;
    default:
      return preset.quantizes();
  }
}

// Whether the rows of all matrices fill the smallest blocks, so that every preset has types for
// them.
bool fills_blocks(const model::Config& c) {
  constexpr int64_t kBlock = 32;
  return std::ranges::all_of(std::initializer_list<int64_t>{c.hidden, c.expert_ffn, c.shared_ffn,
                                                            c.value_width(), c.query_width()},
                             [](int64_t cols) { return cols % kBlock == 0; });
}

}  // namespace

uint64_t preset_bytes(const tensor::TensorSource& source, const model::Config& config,
                      const Preset& preset, bool with_mtp) {
  uint64_t bytes = 0;
  for (const TypeDecision& decision : decide_types(source, config, preset, {})) {
    tensor::TensorInfo info = source.tensors()[decision.tensor];
    if (!with_mtp && model::layer_of(info.name) >= config.layers()) continue;
    info.dtype = decision.type;
    bytes += static_cast<uint64_t>(info.bytes());
  }
  return bytes;
}

FitAdvice advise_fit(const tensor::TensorSource& source, const model::Config& config,
                     const exec::MemoryPlan& plan, uint64_t bytes_allowed) {
  FitAdvice advice;
  advice.context = context_within(plan, config, bytes_allowed);
  if (config.head_dim % tensor::info(tensor::DType::q8_0).block_elems == 0) {
    exec::MemoryRequest request = plan.request;
    request.cache = kSmallCache;
    advice.context_q8_0 =
        context_within(exec::plan_memory(source, config, request), config, bytes_allowed);
  }
  constexpr int64_t kBatch = exec::LayerStream::kBatchMin;
  const uint64_t experts = plan.weights.experts;
  advice.few_experts_bytes =
      plan.total() - experts + experts / static_cast<uint64_t>(config.layers());
  advice.streamed_bytes =
      exec::LayerStream::memory(source, config, kBatch, kBatch, {.batch_tokens = kBatch}).total();
  if (plan.total() <= bytes_allowed || !fills_blocks(config)) return advice;
  const uint64_t beside = plan.total() - plan.weight_bytes();
  for (const Preset& preset : presets()) {
    if (!is_general(preset)) continue;
    const uint64_t bytes = preset_bytes(source, config, preset, plan.request.with_mtp);
    const bool fits = bytes < plan.weight_bytes() && bytes + beside <= bytes_allowed;
    if (!fits || bytes <= advice.smaller_bytes) continue;
    advice.smaller = &preset;
    advice.smaller_bytes = bytes;
  }
  return advice;
}

}  // namespace karat::recipe
