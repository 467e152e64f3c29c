// Which type each tensor gets: llama-quantize's presets ("ftypes") for this architecture, its
// overrides, and its fallbacks (FORMATS.md section 4; llama.cpp, src/llama-quant.cpp).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/regex.h"
#include "model/config.h"
#include "tensor/source.h"

namespace karat::recipe {

struct Preset {
  std::string_view name;  // "Q4_K_M"
  uint32_t file_type;     // general.file_type
  tensor::DType base;     // the type of everything without a rule of its own
};

std::vector<Preset> presets();
// By name in any case; Error{usage} listing the names if there is none.
const Preset& preset_named(std::string_view name);

// --tensor-type RE=TYPE: the first rule whose pattern is found in a tensor's name decides.
struct TypeRule {
  base::Regex pattern;
  tensor::DType type;
};
// Parses "RE=TYPE" (split at the last '='); the pattern is lower-cased as llama-quantize does.
TypeRule parse_type_rule(const std::string& text);

struct MixtureOptions {
  std::optional<tensor::DType> output_type, token_embedding_type;
  std::vector<TypeRule> rules;
  bool pure = false;  // the base type everywhere, overrides excepted
};

struct TypeDecision {
  size_t tensor;  // index into the source's tensors()
  tensor::DType type;
  const char* decided_by;  // "kept", "preset", "base", "--tensor-type", "fallback", ...
};

// One decision per tensor, in the order llama-quantize writes (by block number, then name).
// Error{usage} if a rule matches no tensor or is hidden by earlier rules, or if --tensor-type is
// given with a preset that does not quantize.
std::vector<TypeDecision> decide_types(const tensor::TensorSource& source,
                                       const model::Config& config, const Preset& preset,
                                       const MixtureOptions& options);

// Dimensions as ggml counts them: without leading (in PyTorch order) ones, at least 1.
int ggml_dims(const tensor::Shape& shape);

}  // namespace karat::recipe
