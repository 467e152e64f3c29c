// What running a model takes of memory, from its configuration and tensor table alone.
#pragma once

#include <cstdint>

#include "model/config.h"
#include "model/kv_cache.h"
#include "tensor/source.h"

namespace karat::exec {

// DeltaNet state and convolution windows of one sequence; does not grow with the context.
uint64_t delta_state_bytes(const model::Config& config);
// Keys and values of one token in one attention block.
uint64_t cache_row_bytes(const model::Config& config, model::CacheTypes types);
// Attention blocks of the trunk.
int64_t attention_layers(const model::Config& config);

struct MemoryRequest {
  int64_t context = 0;    // tokens per sequence
  int64_t sequences = 1;  // at the same time
  bool with_mtp = false;
  model::CacheTypes cache = {};
  int64_t piece_tokens = 512;  // that go through the model at a time
};

// Weights as they lie in memory, by what they are.
struct WeightShares {
  uint64_t experts = 0;         // routed
  uint64_t shared_experts = 0;  // and routers
  uint64_t attention = 0;
  uint64_t delta_net = 0;
  uint64_t embedding = 0, head = 0;  // head 0 where it is the embedding
  uint64_t norms = 0;
  uint64_t mtp = 0;  // the whole block; counted if it is asked for
  uint64_t total(bool with_mtp) const {
    return experts + shared_experts + attention + delta_net + embedding + head + norms +
           (with_mtp ? mtp : 0);
  }
};

// Of the tensors that the model binds.
WeightShares weight_shares(const tensor::TensorSource& source, const model::Config& config);

struct MemoryPlan {
  MemoryRequest request;
  WeightShares weights;
  uint64_t cache_per_token = 0;  // keys and values of all blocks, the MTP block's if asked for
  uint64_t mtp_cache_per_token = 0;
  uint64_t state_per_sequence = 0;
  uint64_t scratch = 0;  // the largest intermediates of a pass, its rows, and the logits

  uint64_t weight_bytes() const { return weights.total(request.with_mtp); }
  uint64_t cache_bytes() const;
  uint64_t state_bytes() const;
  uint64_t total() const;
  // The most tokens per sequence with which total() is at most `bytes_allowed`; 0 if not even one
  // fits. Not bounded by the model.
  int64_t context_that_fits(uint64_t bytes_allowed) const;
};

// Reads no weights.
MemoryPlan plan_memory(const tensor::TensorSource& source, const model::Config& config,
                       const MemoryRequest& request);

}  // namespace karat::exec
