// What a model is, in figures: everything `inspect` tells.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/json.h"
#include "model/open.h"

namespace karat::model {

struct TypeShare {
  tensor::DType type = tensor::DType::f32;
  int64_t tensors = 0, params = 0;
  uint64_t bytes = 0;
};

struct ModelSummary {
  int64_t tensors = 0;
  int64_t params = 0;         // of all tensors
  int64_t active_params = 0;  // that one token of the trunk touches: one embedding row, the routed
                              // experts_used of each layer's experts, no MTP block
  int64_t mtp_params = 0;     // of the MTP block
  uint64_t bytes = 0;         // of the tensors' data as presented
  uint64_t file_bytes = 0;    // of the model's files
  // An HF folder's own tensors, vision included, before they get canonical names and shapes.
  int64_t stored_tensors = 0, stored_params = 0;
  std::vector<TypeShare> types;  // largest first
  double bits_per_weight() const {
    return params == 0 ? 0 : 8 * static_cast<double>(bytes) / static_cast<double>(params);
  }
};

// Reads no weights.
ModelSummary summarize(const OpenedModel& model);

// Text of several lines, and the same as one object; `with_tensors` adds a row per tensor.
std::string summary_text(const OpenedModel& model, bool with_tensors);
base::Json summary_json(const OpenedModel& model, bool with_tensors);

}  // namespace karat::model
