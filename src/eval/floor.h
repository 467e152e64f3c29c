// The noise floor of a divergence: how far a model is from itself when only the arithmetic is that
// of an engine. A KLD below it says nothing about weights.
#pragma once

#include <string_view>

#include "eval/scorer.h"
#include "model/tap.h"

namespace karat::eval {

// bf16: what an engine does that computes in bf16: the inputs of every product but those with F32
// weights, queries, keys and values, and the residual stream after every mixer and every block are
// rounded to bf16; sums are float. The rounding itself and no random noise of its size (as
// exllamav3's qbench adds), for then there is no seed and no amplitude to choose.
// q8: the integer kernels: the inputs of the same products as int8 blocks of 32.
enum class Floor { bf16, q8 };
std::string_view floor_name(Floor floor);

// Rounds the residual stream to bf16.
class ResidualRounding : public model::Tap {
 public:
  bool wants_stage(std::string_view name) const override;
  void stage(const model::Stage& stage) override;
};

// Options of the pass that is compared with one in float. `rounding` must outlive the scorer.
ScoreOptions floor_options(Floor floor, ResidualRounding& rounding);

}  // namespace karat::eval
