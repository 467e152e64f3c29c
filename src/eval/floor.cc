#include "eval/floor.h"

#include "kernels/dispatch.h"

namespace karat::eval {

std::string_view floor_name(Floor floor) { return floor == Floor::bf16 ? "bf16" : "q8"; }

bool ResidualRounding::wants_stage(std::string_view name) const {
  return name == "after_mixer" || name == "out";
}

void ResidualRounding::stage(const model::Stage& stage) {
  for (int64_t row = 0; row < stage.rows; ++row) {
    float* values = stage.values + row * stage.ld;
    kernels::table().round_bf16(values, stage.cols, values);
  }
}

ScoreOptions floor_options(Floor floor, ResidualRounding& rounding) {
  ScoreOptions options;
  if (floor == Floor::q8) {
    options.forward.activations = model::Activations::q8_rows;
  } else {
    options.forward.activations = model::Activations::bf16;
    options.tap = &rounding;
  }
  return options;
}

}  // namespace karat::eval
