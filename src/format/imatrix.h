// Importance statistics on disk: the GGUF layout of llama-imatrix.
#pragma once

#include <string>

#include "tensor/statistics.h"

namespace karat::format {

// Reads an importance file. Tensors with other suffixes than .in_sum2, .counts and .in_sum are
// ignored (newer tools add .stats). Error{bad_input} for anything else than such a file, with what
// it is (a text, a model) and what makes one; also for sums or counts that are negative or not
// finite, and for shapes that do not fit each other.
tensor::Importance read_imatrix(const std::string& path);

// Writes it: per entry, by name, .in_sum2 [mats, cols], .counts [mats, 1] (or [1]), and .in_sum
// where known, all as F32. `nextn_layers` > 0 adds imatrix.n_layer_nextn. Stock llama-quantize
// reads it.
void write_imatrix(const std::string& path, const tensor::Importance& importance,
                   uint32_t nextn_layers = 0);

}  // namespace karat::format
