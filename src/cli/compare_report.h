// What compare prints.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/json.h"
#include "eval/compare.h"

namespace karat::cli {

struct ComparedFile {
  std::string path;
  int64_t tensors = 0, params = 0;
  uint64_t data_bytes = 0;  // of the tensors
  uint64_t file_bytes = 0;  // of the file or files
};

struct Comparison {
  ComparedFile a, b, against;  // against.path is "" without a third file
  eval::TensorTable table;
  std::vector<eval::MetadataDifference> metadata;
  bool measured = false;  // the errors in `table`
};

// Two sizes are like for like if they are at most 0.1 % apart.
bool like_for_like(uint64_t bytes, uint64_t other_bytes);
// The largest ratio of all pairs; 0 if there is none, NaN if any is.
double max_ratio(const eval::TensorTable& table);
// Why B is not at most `limit` times as far from A as the third file in every tensor of A: the
// first that is missing, of another shape, without errors to judge by, or too far; "" if there is
// none.
std::string ratio_fault(const eval::TensorTable& table, double limit);

std::string comparison_text(const Comparison& comparison);
base::Json comparison_json(const Comparison& comparison);

}  // namespace karat::cli
