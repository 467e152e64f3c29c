// Products of rows with weight matrices in any stored type, several at a time.
#pragma once

#include <cstdint>
#include <span>

#include "model/forward.h"

namespace karat::model {

// y [rows, w.rows] (stride ldy) = x [rows, w.cols] (stride ldx) times matrix `expert` of w. Jobs of
// one call may share x; outputs do not overlap.
struct LinearJob {
  const Linear* w;
  int64_t expert;
  const float* x;
  int64_t ldx;
  int64_t rows;
  float* y;
  int64_t ldy;
  // Of packed weights only: x quantized by the caller (quantized.h), or null.
  const std::byte* tiles = nullptr;
};

// Runs all jobs in one parallel loop, with the context's activation rounding. Each element of y is
// one dot product in the kernels' fixed order, whatever panels the loop is cut into.
void apply_linears(const ForwardContext& context, std::span<const LinearJob> jobs);

}  // namespace karat::model
