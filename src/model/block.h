// The parts of a block, as block.cc calls them. x and y are [batch rows, H]; y is overwritten.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "model/forward.h"

namespace karat::model {

// A block's view of the segments: which rows and positions each of them has.
struct Batch {
  std::span<const Segment> segments;
  std::vector<int64_t> first_row;       // [segments]
  std::vector<int64_t> first_position;  // [segments]: rows this block has seen of the sequence
  std::vector<int32_t> segment_of;      // [rows]
  std::vector<RowOrigin> origins;       // [rows]; empty without a tap
  int64_t rows = 0;
};
Batch make_batch(const ForwardContext& context, int64_t layer, std::span<const Segment> segments);

// Gated softmax attention; appends the rows to the states' K/V.
void attention(const ForwardContext& context, const BlockWeights& weights, const Batch& batch,
               const float* x, float* y);
// Gated DeltaNet; advances the states' recurrent and convolution parts.
void delta_net(const ForwardContext& context, const BlockWeights& weights, const Batch& batch,
               const float* x, float* y);
// Mixture of experts with a shared expert.
void moe(const ForwardContext& context, const BlockWeights& weights, const Batch& batch,
         const float* x, float* y);

// The experts that the block's router would choose for rows x [rows, H] if they entered the mixture
// as they are, rising: before the block has run, a guess at what it will choose.
std::vector<int32_t> likely_experts(const ForwardContext& context, const BlockWeights& weights,
                                    const float* x, int64_t rows);

// y = RMS(x; w) of rows of w.size() columns, contiguous; y may be x.
void norm_rows(const ForwardContext& context, const float* x, const Vector& w, int64_t rows,
               float* y);

// Shows a dense layer's input to the tap, if there is one. x: [batch rows, w.cols], contiguous.
void tap_input(const ForwardContext& context, const Batch& batch, const Linear& w, int64_t layer,
               const float* x);
// Shows a stage to the tap if it wants stages.
void tap_stage(const ForwardContext& context, std::string_view name, int64_t layer, float* values,
               int64_t rows, int64_t cols, int64_t ld);

}  // namespace karat::model
