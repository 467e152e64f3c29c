// Plain statistics structs that calibration makes and rounding consumes.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "tensor/source.h"

namespace karat::tensor {

// The figures that are derived from one entry and stored beside it, in the order of llama-imatrix's
// schema. calib/activation_statistics.h defines them.
inline constexpr std::array<const char*, 12> kActivationStatistics = {
    "sum_sq", "mean",   "elements", "std_deviation", "skewness", "kurtosis",
    "gain",   "h_norm", "l2_dist",  "cossim",        "pearson",  "covariance"};

// Second (and first) moments of the inputs of one linear layer, per column and matrix.
struct ImportanceEntry {
  int64_t cols = 0;               // input features
  int64_t mats = 1;               // 1, or the number of experts
  std::vector<double> in_sum2;    // [mats, cols]: sum over rows of x^2
  std::vector<double> in_sum;     // [mats, cols]: sum over rows of x; empty if unknown
  std::vector<int64_t> counts;    // [mats]: rows seen; or one count for all matrices
  std::vector<float> stats = {};  // as kActivationStatistics, NaN where undefined; empty if unknown
};

// What the field calls an imatrix. Keys are GGUF weight names with ".weight". A file of the old
// .dat layout does not tell the matrices of an entry apart: an expert tensor then has mats == 1,
// cols = experts * input features, and one count.
struct Importance {
  std::map<std::string, ImportanceEntry> entries;  // byte-wise order, as imatrix files want it
  std::string file;                                // it was read from, for messages; may be empty
  std::vector<std::string> datasets;               // files the statistics come from
  uint32_t chunk_count = 0;
  uint32_t chunk_size = 0;    // tokens per chunk
  uint32_t nextn_layers = 0;  // MTP blocks at the end that are covered
};

// Gives the entries of a .dat file the matrices that the source's tensors of these names have; the
// one count then holds for each of them. Entries that do not fit are left as they are.
void split_experts(Importance& importance, const TensorSource& source);

// Mean squared input per column of matrix `mat`, [cols]: how much an error in that column weighs. A
// matrix that saw no row gets the pooled mean of the others, the best guess at its inputs; ones if
// there is none.
std::vector<float> mean_squares(const ImportanceEntry& entry, int64_t mat);

}  // namespace karat::tensor
