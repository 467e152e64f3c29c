// Whether the values of a model are values: what a loader that checks tensors would refuse.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "base/threads.h"
#include "tensor/source.h"

namespace karat::exporting {

struct BadBlock {
  std::string tensor;
  int64_t row = 0;    // of the tensor seen as a matrix
  int64_t block = 0;  // within the row; an element for the plain types
};

struct Validation {
  std::vector<BadBlock> bad;            // the first of each damaged tensor
  std::set<std::string> unknown_types;  // that have no codec; integers have nothing to check
};

// Reads every row once and looks for NaN, infinities and scales that cannot be (ggml's
// ggml_validate_row_data, by the codecs). Parallel over runs of rows, with a few MiB per thread;
// reports progress; the same result for any number of threads. Errors as the source's.
Validation validate_tensors(const tensor::TensorSource& source, base::ThreadPool& pool);

}  // namespace karat::exporting
