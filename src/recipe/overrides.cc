#include "recipe/overrides.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <optional>

#include "base/error.h"
#include "base/text.h"

namespace karat::recipe {

using base::ErrorKind;
using base::fail;

namespace {

constexpr size_t kBytesMax = 127;  // of a key and of a string, llama.cpp's fields

// Nothing if the value is not one of the type.
std::optional<format::Value> parse_value(const std::string& type, const std::string& value) {
  if (type == "int") {
    int64_t number = 0;
    const char* end = value.data() + value.size();
    const auto parsed = std::from_chars(value.data(), end, number);
    const bool fits = parsed.ec == std::errc() && parsed.ptr == end &&
                      number >= -int64_t{UINT32_MAX} && number <= int64_t{UINT32_MAX};
    if (fits) return format::Value(static_cast<uint32_t>(number < 0 ? -number : number));
  }
  if (type == "float") {
    char* end = nullptr;
    const double number = std::strtod(value.c_str(), &end);
    if (!value.empty() && *end == '\0' && std::isfinite(number)) {
      return format::Value(static_cast<float>(number));
    }
  }
  if (type == "bool" && (value == "true" || value == "false"))
    return format::Value(value == "true");
  if (type == "str" && value.size() <= kBytesMax && base::is_utf8(value))
    return format::Value(value);
  return std::nullopt;
}

bool contains_any(const std::string& name, const std::vector<std::string>& words) {
  return std::any_of(words.begin(), words.end(),
                     [&](const std::string& word) { return name.find(word) != std::string::npos; });
}

void require_matches(const tensor::Importance& importance, const char* option,
                     const std::vector<std::string>& words) {
  for (const std::string& word : words) {
    const bool any =
        std::any_of(importance.entries.begin(), importance.entries.end(),
                    [&](const auto& entry) { return entry.first.find(word) != std::string::npos; });
    if (any) continue;
    throw fail(ErrorKind::usage, "%s '%s': the imatrix has no such entry", option,
               base::printable(word).c_str());
  }
}

}  // namespace

format::Metadata::Entry parse_override(const std::string& text) {
  const std::string shown = base::printable(text);
  const size_t equals = text.find('='), colon = text.find(':', equals);
  if (equals == std::string::npos || equals == 0 || equals > kBytesMax ||
      colon == std::string::npos) {
    throw fail(ErrorKind::usage, "--override-kv '%s': KEY=TYPE:VALUE is expected", shown.c_str());
  }
  if (base::starts_with(text, "karat.") || base::starts_with(text, "split.")) {
    throw fail(ErrorKind::usage, "--override-kv '%s': the program sets this key itself",
               shown.c_str());
  }
  const std::string type = text.substr(equals + 1, colon - equals - 1);
  const std::optional<format::Value> value = parse_value(type, text.substr(colon + 1));
  if (!value) {
    throw fail(ErrorKind::usage,
               "--override-kv '%s': int:NUMBER, float:NUMBER, bool:true, bool:false or str:TEXT of "
               "at most 127 bytes is expected",
               shown.c_str());
  }
  return {text.substr(0, equals), *value};
}

void select_entries(tensor::Importance& importance, const std::vector<std::string>& included,
                    const std::vector<std::string>& excluded) {
  if (!included.empty() && !excluded.empty()) {
    throw fail(ErrorKind::usage, "--include-weights and --exclude-weights exclude each other");
  }
  require_matches(importance, "--include-weights", included);
  require_matches(importance, "--exclude-weights", excluded);
  std::erase_if(importance.entries, [&](const auto& entry) {
    return contains_any(entry.first, excluded) ||
           (!included.empty() && !contains_any(entry.first, included));
  });
}

}  // namespace karat::recipe
