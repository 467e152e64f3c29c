// Words of llama.cpp's programs that karat has under another name, or on purpose not.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace karat::cli {

// What to do instead of that option ("-ngl", "--batch-size"), as the end of a message; nothing if
// it is not one of llama.cpp's.
std::optional<std::string> foreign_option(std::string_view name);
// The same for a verb ("download", "gguf-split").
std::optional<std::string> foreign_verb(std::string_view name);

}  // namespace karat::cli
