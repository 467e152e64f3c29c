// What the command line changes in a file's metadata and statistics.
#pragma once

#include <string>
#include <vector>

#include "format/metadata.h"
#include "tensor/statistics.h"

namespace karat::recipe {

// --override-kv KEY=TYPE:VALUE, llama.cpp's form: TYPE is int (stored as u32, its sign dropped, as
// llama-quantize does), float (f32), bool (true or false) or str (at most 127 bytes). Error{usage}
// naming the option.
format::Metadata::Entry parse_override(const std::string& text);

// Keeps the entries whose name contains one of `included`, all if that is empty, and drops those
// whose name contains one of `excluded`. Error{usage} if both are given, or if a word matches no
// entry.
void select_entries(tensor::Importance& importance, const std::vector<std::string>& included,
                    const std::vector<std::string>& excluded);

}  // namespace karat::recipe
