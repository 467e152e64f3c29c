// Two models side by side: which tensors they have, as what types, and how far their values are
// apart.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/threads.h"
#include "format/metadata.h"
#include "tensor/source.h"
#include "tensor/statistics.h"

namespace karat::eval {

// Sums over the elements of a tensor, each times the weight of its column (1 without statistics):
// a are the values of the base, b those that are compared with it.
struct TensorError {
  double error_sq = 0;          // (b - a)^2
  double norm_sq = 0;           // a^2
  double other_norm_sq = 0;     // b^2
  double dot = 0;               // a * b
  double max_abs = 0;           // largest |b - a|, without weights; NaN if any is
  double relative_rms() const;  // sqrt(error_sq / norm_sq); 0 for two tensors of zeros
  double cosine() const;        // 1 for two tensors of zeros
};

// One tensor that both have under one name.
struct TensorPair {
  const tensor::TensorInfo* a = nullptr;
  const tensor::TensorInfo* b = nullptr;
  const tensor::TensorInfo* against = nullptr;  // the third file's, null if it has none
  bool weighted = false;                        // the statistics have an entry for it
  // Measured only on request; absent for types without a codec.
  std::optional<TensorError> error, against_error;
  // relative_rms of error over that of against_error: below 1, b is the better. Nothing if one is
  // missing or both are exact.
  std::optional<double> ratio() const;
};

struct TensorTable {
  std::vector<TensorPair>
      pairs;  // in a's order, of equal shapes (but for dimensions of 1 in front)
  std::vector<std::string> only_a, only_b;
  std::vector<TensorPair> other_shapes;
};

// Matches names and shapes; reads no weights. `against` may be null. The sources have to outlive
// the table.
TensorTable match_tensors(const tensor::TensorSource& a, const tensor::TensorSource& b,
                          const tensor::TensorSource* against);

// Fills in the errors of all pairs. Parallel over runs of rows, with a few MiB per thread; the sums
// are the same bits for any number of threads. `importance`, if given, weighs columns by their mean
// squared input. Errors as the sources'; {bad_input} for statistics of other widths.
void measure_errors(TensorTable& table, const tensor::TensorSource& a,
                    const tensor::TensorSource& b, const tensor::TensorSource* against,
                    const tensor::Importance* importance, base::ThreadPool& pool);

// Bytes that measure_errors() holds at a time.
uint64_t compare_memory(const TensorTable& table, int threads);

struct MetadataDifference {
  std::string key, a, b;  // values for a listing; "" where a file does not have the key
};

// In a's order, then what only b has.
std::vector<MetadataDifference> metadata_differences(const format::Metadata& a,
                                                     const format::Metadata& b);

}  // namespace karat::eval
