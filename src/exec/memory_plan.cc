#include "exec/memory_plan.h"

#include <algorithm>
#include <string_view>

#include "base/error.h"
#include "exec/stream.h"
#include "model/names.h"

namespace karat::exec {

namespace {

bool has(std::string_view name, std::string_view part) {
  return name.find(part) != std::string_view::npos;
}

// Where the bytes of a tensor of the model count; null for what no pass uses.
uint64_t* share_of(const tensor::TensorInfo& info, const model::Config& config,
                   WeightShares& shares) {
  const std::string_view name = info.name;
  if (name == model::kTokenEmbd) return &shares.embedding;
  if (name == model::kOutput) return &shares.head;
  if (name == model::kOutputNorm) return &shares.norms;
  const int64_t layer = model::layer_of(name);
  if (layer < 0 || layer >= config.blocks()) return nullptr;
  if (layer >= config.layers()) return &shares.mtp;
  if (has(name, "_exps.")) return &shares.experts;
  if (has(name, ".ffn_")) return &shares.shared_experts;
  if (has(name, "_norm.")) return &shares.norms;
  return config.mixers[static_cast<size_t>(layer)] == model::Mixer::delta_net ? &shares.delta_net
                                                                              : &shares.attention;
}

}  // namespace

int64_t attention_layers(const model::Config& config) {
  return std::ranges::count(config.mixers, model::Mixer::attention);
}

uint64_t delta_state_bytes(const model::Config& config) {
  const int64_t recurrent = config.value_heads * config.key_dim * config.value_dim;
  const int64_t window = (config.conv_taps - 1) * config.conv_channels();
  const int64_t layers = config.layers() - attention_layers(config);
  return static_cast<uint64_t>(layers * (recurrent + window)) * sizeof(float);
}

uint64_t cache_row_bytes(const model::Config& config, model::CacheTypes types) {
  const int64_t width = config.kv_width();
  return static_cast<uint64_t>(model::CacheRows::row_bytes(types.k, width) +
                               model::CacheRows::row_bytes(types.v, width));
}

uint64_t MemoryPlan::cache_bytes() const {
  return static_cast<uint64_t>(request.sequences * request.context) * cache_per_token;
}

uint64_t MemoryPlan::state_bytes() const {
  return static_cast<uint64_t>(request.sequences) * state_per_sequence;
}

uint64_t MemoryPlan::total() const {
  return weight_bytes() + cache_bytes() + state_bytes() + scratch;
}

int64_t MemoryPlan::context_that_fits(uint64_t bytes_allowed) const {
  const uint64_t flat = total() - cache_bytes();
  const uint64_t per_token = static_cast<uint64_t>(request.sequences) * cache_per_token;
  if (flat >= bytes_allowed || per_token == 0) return 0;
  return static_cast<int64_t>((bytes_allowed - flat) / per_token);
}

WeightShares weight_shares(const tensor::TensorSource& source, const model::Config& config) {
  WeightShares shares;
  for (const tensor::TensorInfo& info : source.tensors()) {
    uint64_t* share = share_of(info, config, shares);
    if (share != nullptr) *share += static_cast<uint64_t>(info.bytes());
  }
  return shares;
}

MemoryPlan plan_memory(const tensor::TensorSource& source, const model::Config& config,
                       const MemoryRequest& request) {
  CHECK(request.context >= 0 && request.sequences >= 1 && request.piece_tokens >= 1);
  MemoryPlan plan;
  plan.request = request;
  plan.weights = weight_shares(source, config);
  const uint64_t row = cache_row_bytes(config, request.cache);
  plan.mtp_cache_per_token = static_cast<uint64_t>(config.mtp_layers) * row;
  plan.cache_per_token = static_cast<uint64_t>(attention_layers(config)) * row +
                         (request.with_mtp ? plan.mtp_cache_per_token : 0);
  plan.state_per_sequence = delta_state_bytes(config);
  const int64_t piece = std::max<int64_t>(1, std::min(request.piece_tokens, request.context));
  const uint64_t rows = static_cast<uint64_t>(piece * config.hidden + config.vocab) * sizeof(float);
  plan.scratch =
      rows + LayerStream::memory(source, config, piece, piece, {.batch_tokens = piece}).scratch;
  return plan;
}

}  // namespace karat::exec
