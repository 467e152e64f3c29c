// Importance statistics in llama-imatrix's old layout, "imatrix.dat": averages without the counts
// behind them. read_imatrix() and write_imatrix() (imatrix.h) choose between the layouts.
#pragma once

#include <string>

#include "tensor/statistics.h"

namespace karat::format {

// Reads one. The file holds averages times a number of calls; they come back as sums over
// calls * chunk_size rows, as llama-imatrix takes them, with one count per entry: the layout keeps
// neither the matrices of an expert tensor apart nor their counts nor the means, nor the chunk size
// (which is `chunk_size`, >= 1). Every length is checked against the file; Error{bad_input} "path:
// at byte n: ...".
tensor::Importance read_imatrix_dat(const std::string& path, uint32_t chunk_size);

// Writes one, the same bytes as llama-imatrix from the same sums: calls = ceil(largest count /
// chunk_size), matrices without rows as ones. Entries without any row cannot be written and are
// left out with a warning; Error{bad_input} if nothing is left. Only the last data set is named.
void write_imatrix_dat(const std::string& path, const tensor::Importance& importance);

}  // namespace karat::format
