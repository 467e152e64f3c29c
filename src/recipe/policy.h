// What a plan may choose from, and what it may not: the types, floors, fixed types and groups of a
// TOML recipe (docs/FORMATS.md, section 12).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/regex.h"
#include "tensor/dtype.h"
#include "tensor/source.h"

namespace karat::recipe {

struct PolicyRule {
  base::Regex pattern;
  std::vector<tensor::DType> types = {};    // instead of the policy's; empty: those
  std::optional<tensor::DType> fixed = {};  // this type
  std::optional<tensor::DType> floor = {};  // no type of fewer bits
  std::optional<double> share =
      {};  // the floor holds only if its tensors at it take at most this of the budget
  bool built_in = false;  // need not match anything
};

struct PolicyGroup {
  base::Regex pattern;    // tensors that have one type,
  bool per_layer = true;  // those of a layer or all
};

struct Policy {
  std::vector<tensor::DType> types;
  std::vector<PolicyRule> rules;  // the first that matches a tensor's name decides
  std::vector<PolicyGroup> groups;
};

// The text of the recipe that holds where there is no other: floors for the tensors that ruin a
// model when they are crushed and cost next to nothing.
std::string_view default_recipe();
Policy default_policy();

// Parses a recipe; the rules of the default one come after its own, unless it says
// `defaults = false`. `name` stands in front of messages. Error{bad_input} for unknown keys, types
// and patterns that are none.
Policy parse_policy(std::string_view text, const std::string& name);

// What a tensor may become.
struct Candidates {
  size_t tensor = 0;                 // index into the source's tensors()
  std::vector<tensor::DType> types;  // at least one; one: it is decided
  std::string decided_by;            // "plan", or what leaves no choice: "recipe"
  int64_t group = -1;                // tensors of one group have one type; -1: none
};

// The candidates of `tensors` (indices into source.tensors()). Types whose blocks do not fill a
// tensor's rows, and those that need statistics of it where `weighted` is false, are left out.
// Error{usage} if a rule or group that is not built in matches none of them, or leaves a tensor or
// a group without a type.
std::vector<Candidates> candidates_of(const Policy& policy, const tensor::TensorSource& source,
                                      const std::vector<size_t>& tensors,
                                      const std::vector<bool>& weighted, uint64_t budget);

}  // namespace karat::recipe
