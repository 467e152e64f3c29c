// What could be done about a model that does not fit into memory.
#pragma once

#include <cstdint>

#include "exec/memory_plan.h"
#include "recipe/presets.h"

namespace karat::recipe {

// Bytes of the model's tensors if they were quantized with the preset; reads nothing. Errors as
// decide_types().
uint64_t preset_bytes(const tensor::TensorSource& source, const model::Config& config,
                      const Preset& preset, bool with_mtp);

struct FitAdvice {
  int64_t context = 0;       // the most tokens with the cache types asked for; 0: none
  int64_t context_q8_0 = 0;  // the same with keys and values in Q8_0; 0: none, or not possible
  // The largest preset that fits as asked for, if the file is larger; none for one or two bits that
  // models are trained for.
  const Preset* smaller = nullptr;
  uint64_t smaller_bytes = 0;      // of its weights
  uint64_t few_experts_bytes = 0;  // what chat and bench hold at least: one block's experts
  uint64_t streamed_bytes = 0;     // what eval and calibrate hold at least where they stream
};

// For a plan whose total is above `bytes_allowed`, or not: then the contexts still say how far it
// could grow. Contexts are at most the model's.
FitAdvice advise_fit(const tensor::TensorSource& source, const model::Config& config,
                     const exec::MemoryPlan& plan, uint64_t bytes_allowed);

}  // namespace karat::recipe
