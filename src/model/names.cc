#include "model/names.h"

#include <charconv>

#include "base/text.h"

namespace karat::model {

std::string block_name(int64_t layer, std::string_view rest) {
  return "blk." + std::to_string(layer) + "." + std::string(rest);
}

int64_t layer_of(std::string_view name) {
  if (!base::starts_with(name, "blk.")) return -1;
  name.remove_prefix(4);
  int64_t layer = -1;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), layer);
  const bool complete = error == std::errc() && end != name.data() + name.size() && *end == '.';
  return complete ? layer : -1;
}

}  // namespace karat::model
