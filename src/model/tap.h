// Tap: an observer of the one forward pass. Importance, Hessians, router counts, divergence and the
// stage dumps of the tests are all taps.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

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

// What one expert makes of its rows, before the gate's weight.
struct ExpertOutput {
  int64_t layer, expert;
  const float* rows;  // [count, cols]
  int64_t count, cols;
};

// Called from one thread at a time, in a fixed order (layer by layer; experts in increasing number;
// rows in batch order), so that sums made by a tap do not depend on threads.
class Tap {
 public:
  virtual ~Tap() = default;
  virtual void linear_input(const LinearInput& input) { (void)input; }
  virtual void expert_output(const ExpertOutput& output) { (void)output; }
  // Only computed when wanted: stages cost copies.
  virtual bool wants_stages() const { return false; }
  virtual bool wants_stage(std::string_view name) const { return (void)name, wants_stages(); }
  virtual void stage(const Stage& stage) { (void)stage; }
  // True: linear_input() of the experts' matrices is called with every row for every expert,
  // without gate weights and ranks, instead of just those that the router sends there. What the
  // pass computes stays the same.
  virtual bool wants_all_experts() const { return false; }
};

// Several taps on one pass, called one after the other. They must outlive it.
class TapGroup : public Tap {
 public:
  explicit TapGroup(std::vector<Tap*> taps) : taps_(std::move(taps)) {}
  void linear_input(const LinearInput& input) override {
    for (Tap* tap : taps_) tap->linear_input(input);
  }
  void expert_output(const ExpertOutput& output) override {
    for (Tap* tap : taps_) tap->expert_output(output);
  }
  bool wants_stage(std::string_view name) const override {
    return std::any_of(taps_.begin(), taps_.end(),
                       [&](const Tap* tap) { return tap->wants_stage(name); });
  }
  void stage(const Stage& stage) override {
    for (Tap* tap : taps_) {
      if (tap->wants_stage(stage.name)) tap->stage(stage);
    }
  }
  bool wants_all_experts() const override {
    return std::any_of(taps_.begin(), taps_.end(),
                       [](const Tap* tap) { return tap->wants_all_experts(); });
  }

 private:
  std::vector<Tap*> taps_;
};

}  // namespace karat::model
