// Tap: an observer of the one forward pass. Importance, Hessians, router counts, divergence and the
// stage dumps of the tests are all taps.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace karat::model {

// Which sequence of the batch a row belongs to (the caller's id) and its position in it.
struct RowOrigin {
  int64_t sequence;
  int64_t position;
};

// The input of one linear layer, seen just before the product.
struct LinearInput {
  std::string_view weight;  // canonical name, e.g. "blk.3.ffn_gate_exps.weight"
  int64_t layer;            // block number; -1 for output.weight
  const float* rows;        // [count, cols], row stride ld (elements)
  int64_t count, cols, ld;
  std::span<const RowOrigin> origins;  // [count]
  // Experts only: the expert these rows were routed to (-1 for dense layers), and for each row the
  // renormalised gate weight and the rank (0 = largest) of this expert in the row's selection.
  int64_t expert = -1;
  std::span<const float> gate_weights = {};
  std::span<const int32_t> ranks = {};
  // The reference model's rows for the same place, [count, cols] with stride ld, or null: set when
  // the executor runs a second model beside this one.
  const float* reference_rows = nullptr;
};

// A named intermediate of the forward pass, HF's stage names (tests/fixtures/README.md), e.g.
// "l0.gdn.conv_silu". Values are [rows, cols] in batch row order; a stage made of heads that do not
// lie side by side in memory comes as [batch rows * heads, head size]. V heads are in canonical
// order. The values are the pass's own: a tap may overwrite them and the pass goes on with what it
// finds, which is how the tests feed each stage the reference's input. Copies, where that has no
// effect: gdn.q_l2, gdn.k_l2, moe.topk_ids (ids as floats), moe.expert_out.
struct Stage {
  std::string_view name;  // without the "l<layer>." prefix
  int64_t layer;          // -1 for final_norm
  float* values;
  int64_t rows, cols, ld;
};

// Called from one thread at a time, in a fixed order (layer by layer; experts in increasing number;
// rows in batch order), so that sums made by a tap do not depend on threads.
class Tap {
 public:
  virtual ~Tap() = default;
  virtual void linear_input(const LinearInput& input) { (void)input; }
  // Only computed when wanted: stages cost copies.
  virtual bool wants_stages() const { return false; }
  virtual void stage(const Stage& stage) { (void)stage; }
};

}  // namespace karat::model
