// Importance statistics on disk, as llama-imatrix writes them: the GGUF layout, and the old .dat
// (imatrix_dat.h).
#pragma once

#include <string>

#include "tensor/statistics.h"

namespace karat::format {

enum class ImatrixLayout { gguf, dat };

// True for a file that begins like the old layout, whatever comes after. Errors as base::File's.
bool is_imatrix_dat(const std::string& path);
// True for either layout: also for a GGUF file that says so. Errors as base::File's and, for a GGUF
// file, as GgufSource's.
bool is_imatrix(const std::string& path);

// Reads an importance file of either layout, told apart by their content. Tensors with other
// suffixes than .in_sum2, .counts, .in_sum and .stats are ignored. Error{bad_input} for anything
// else than such a file, with what it is (a text, a model) and what makes one; also for sums or
// counts that are negative or not finite, and for shapes that do not fit each other.
// `dat_chunk_size` are the tokens per chunk of a .dat file, which does not say (llama-imatrix's
// default).
tensor::Importance read_imatrix(const std::string& path, uint32_t dat_chunk_size = 512);

// Writes one. GGUF, per entry and by name: .in_sum2 [mats, cols], .counts [mats, 1] (or [1]), and,
// where known, .in_sum and .stats, all as F32. Stock llama-quantize reads both layouts.
void write_imatrix(const std::string& path, const tensor::Importance& importance,
                   ImatrixLayout layout = ImatrixLayout::gguf);

}  // namespace karat::format
