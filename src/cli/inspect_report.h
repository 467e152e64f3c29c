// What inspect says of files that are no language model: importance statistics and vision towers.
#pragma once

#include <string>

#include "base/json.h"
#include "format/gguf.h"
#include "tensor/statistics.h"

namespace karat::cli {

// `with_entries` adds a line per entry: matrices, columns, rows seen.
std::string imatrix_text(const tensor::Importance& importance, bool with_entries);
base::Json imatrix_json(const tensor::Importance& importance, bool with_entries);

// Keys, types and sizes of any GGUF file; `with_tensors` adds a line per tensor.
std::string gguf_text(const format::GgufSource& source, bool with_tensors);
base::Json gguf_json(const format::GgufSource& source, bool with_tensors);

}  // namespace karat::cli
