// Plain statistics structs that calibration makes and rounding consumes.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace karat::tensor {

// Second (and first) moments of the inputs of one linear layer, per column and matrix.
struct ImportanceEntry {
  int64_t cols = 0;             // input features
  int64_t mats = 1;             // 1, or the number of experts
  std::vector<double> in_sum2;  // [mats, cols]: sum over rows of x^2
  std::vector<double> in_sum;   // [mats, cols]: sum over rows of x; empty if unknown
  std::vector<int64_t> counts;  // [mats]: rows seen; or one count for all matrices
};

// What the field calls an imatrix. Keys are GGUF weight names with ".weight".
struct Importance {
  std::map<std::string, ImportanceEntry> entries;  // byte-wise order, as imatrix files want it
  std::string file;                                // it was read from, for messages; may be empty
  std::vector<std::string> datasets;               // files the statistics come from
  uint32_t chunk_count = 0;
  uint32_t chunk_size = 0;  // tokens per chunk
};

}  // namespace karat::tensor
