// Inputs of integer products: rows quantized to int8 blocks, in the tiles that a kernel table
// reads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "model/forward.h"
#include "model/scratch.h"

namespace karat::model {

// Memory for the tiles of [rows, cols].
class Tiles {
 public:
  Tiles() = default;
  Tiles(int64_t rows, int64_t cols) : words_(static_cast<size_t>(rows * words_per_row(cols))) {}
  static int64_t words_per_row(int64_t cols) {
    return kernels::panels_of(cols) * kernels::kBlockWords;
  }
  std::byte* data() const { return reinterpret_cast<std::byte*>(words_.get()); }

 private:
  Scratch words_;
};

// x: [rows, cols] with row stride ldx; cols a multiple of 32. out: rows * words_per_row(cols)
// words.
struct QuantizeJob {
  const float* x;
  int64_t ldx, rows, cols;
  std::byte* out;
};

// Runs all jobs in one parallel loop.
void quantize_rows(const ForwardContext& context, std::span<const QuantizeJob> jobs);

}  // namespace karat::model
