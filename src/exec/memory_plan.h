// What running a model takes of memory, from its configuration and tensor table alone.
#pragma once

#include <cstdint>

#include "model/config.h"
#include "model/kv_cache.h"

namespace karat::exec {

// DeltaNet state and convolution windows of one sequence; does not grow with the context.
uint64_t delta_state_bytes(const model::Config& config);

// Keys and values of one token in one attention block.
uint64_t cache_row_bytes(const model::Config& config, model::CacheTypes types);
// Attention blocks of the trunk.
int64_t attention_layers(const model::Config& config);

}  // namespace karat::exec
