#include "exec/memory_plan.h"

#include <algorithm>

namespace karat::exec {

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

}  // namespace karat::exec
