// Which type each tensor gets: llama-quantize's decisions for this architecture, its overrides, and
// its fallbacks (FORMATS.md section 4; llama.cpp, src/llama-quant.cpp). No codec is asked: a type
// that cannot be written yet is decided like any other.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/regex.h"
#include "model/config.h"
#include "recipe/presets.h"
#include "tensor/source.h"

namespace karat::recipe {

// --tensor-type RE=TYPE: the first rule whose pattern is found in a tensor's name decides.
struct TypeRule {
  base::Regex pattern;
  tensor::DType type;
};
// The types that a tensor can be given, as they are spelled.
std::vector<std::string> tensor_type_names();
// By name in any case; Error{usage} "ORIGIN: unknown type ..." with a suggestion if there is none.
tensor::DType tensor_type_named(std::string_view name, const std::string& origin);

// Parses "RE=TYPE" (split at the last '='); the pattern is lower-cased as llama-quantize does.
// Error{usage} "ORIGIN 'TEXT': ...".
TypeRule parse_type_rule(const std::string& text, const std::string& origin = "--tensor-type");
// The rules of a file (--tensor-type-file), separated by white space. Error{usage} naming the file.
std::vector<TypeRule> read_type_rules(const std::string& path);

struct MixtureOptions {
  std::optional<tensor::DType> output_type = {}, token_embedding_type = {};
  std::vector<TypeRule> rules = {};
  bool pure = false;          // the base type everywhere, overrides excepted
  bool leave_output = false;  // output.weight keeps its type
  bool imatrix = false;       // there are statistics: some presets decide otherwise then
  bool keep_order = false;    // the source's order of tensors (--keep-split)
};

struct TypeDecision {
  size_t tensor;  // index into the source's tensors()
  tensor::DType type;
  const char* decided_by;  // "kept", "preset", "base", "--tensor-type", "fallback", ...
  bool requires_imatrix;   // the type is useless for this tensor without statistics
};

// One decision per tensor, in the order llama-quantize writes: by block number, then name. Errors:
// {usage} if a rule matches no tensor or is hidden by earlier rules, if options contradict each
// other, or if --tensor-type is given with a preset that does not quantize; {unsupported} naming a
// tensor whose rows fill neither the type's blocks nor those of one that takes its place.
std::vector<TypeDecision> decide_types(const tensor::TensorSource& source,
                                       const model::Config& config, const Preset& preset,
                                       const MixtureOptions& options);

// Dimensions as ggml counts them: without leading (in PyTorch order) ones, at least 1.
int ggml_dims(const tensor::Shape& shape);

}  // namespace karat::recipe
