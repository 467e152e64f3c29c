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
  // Rows from `first` on, where a job of its own begins.
  std::byte* row(int64_t first, int64_t cols) const {
    return data() + first * words_per_row(cols) * static_cast<int64_t>(sizeof(int32_t));
  }
  std::byte* data() const { return reinterpret_cast<std::byte*>(words_.get()); }

 private:
  Scratch words_;
};

// Rows of `cols` columns, a multiple of 32; out: rows * words_per_row(cols) words.
struct QuantizeJob {
  const float* x;  // row stride ldx
  int64_t ldx, rows, cols;
  std::byte* out;
  const int32_t* pick = nullptr;  // [rows]: which row of x each is; null: all in order
  bool gated = false;             // x is [gate | up] of 2 * cols columns: quantize silu(gate) * up
};

// Runs all jobs in one parallel loop.
void quantize_rows(const ForwardContext& context, std::span<const QuantizeJob> jobs);

}  // namespace karat::model
