// The front matter of a model card (README.md between two lines "---"): as much of YAML as model
// cards use for licence, tags and base models.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace karat::exporting {

// Top-level keys with their values: one for "key: value", several for a list of either form
// ("[a, b]" or lines "- a"). Keys with nested mappings, block scalars, anchors and whatever else is
// not such a line are left out. Never fails: a card decides nothing but labels.
using ModelCard = std::map<std::string, std::vector<std::string>>;
ModelCard parse_model_card(std::string_view text);

}  // namespace karat::exporting
