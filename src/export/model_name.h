// What a model's name says about it: the reference converter's heuristics for general.name and its
// companions, so that files made from the same folder carry the same keys.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace karat::exporting {

struct NameParts {
  std::string name;  // the part behind "ORG/"
  std::optional<std::string> organization, basename, finetune, version, size_label;
};

// Splits "Qwen/Qwen3.6-35B-A3B" or "Qwen3.6-35B-A3B" into parts. A size in the name counts only if
// it is near `total_params` (0: any counts); otherwise it is taken for a context length and becomes
// part of `finetune`. Text with blanks is a name and nothing else.
NameParts split_model_name(std::string_view id, int64_t total_params);

// "tiny-random" -> "Tiny Random": words in lower case get capitals, versions and sizes do not.
std::string title_of(std::string_view name);

// The count with two significant digits or more and a unit: 257K, 1.3M, 35B.
std::string rounded_count(double params);

}  // namespace karat::exporting
