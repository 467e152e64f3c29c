#include "codec/search.h"

#include "base/half.h"
#include "codec/table.h"

namespace karat::codec {

Grid to_grid(const BlockChoice& choice, int subs) {
  Grid grid;
  for (size_t s = 0; s < static_cast<size_t>(subs); ++s) {
    grid.scale[s] = static_cast<int16_t>(choice.scale[s]);
    grid.min[s] = static_cast<int16_t>(choice.min[s]);
    grid.step[s] = choice.d * choice.scale[s];
    grid.offset[s] = choice.dmin * choice.min[s];
    if (grid.scale[s] != 0) grid.d = base::f32_to_f16(choice.d);
    if (grid.min[s] != 0) grid.dmin = base::f32_to_f16(choice.dmin);
  }
  return grid;
}

Grid to_grid(const BlockChoice& choice) {
  Grid grid;
  grid.d = base::f32_to_f16(choice.d);
  grid.step[0] = choice.d;
  return grid;
}

Grid search_affine(const BlockProblem& problem, int code_max, int integer_max) {
  return to_grid(table().search_affine(problem, code_max, integer_max), problem.subs);
}

Grid search_symmetric(const BlockProblem& problem, int code_bound, int integer_bound) {
  return to_grid(table().search_symmetric(problem, code_bound, integer_bound), problem.subs);
}

Grid search_single(const BlockProblem& problem, int code_bound) {
  return to_grid(table().search_single(problem, code_bound));
}

Grid search_single_affine(const BlockProblem& problem, int code_max) {
  const BlockChoice choice = table().search_single_affine(problem, code_max);
  Grid grid;
  grid.d = base::f32_to_f16(choice.d);
  grid.dmin = base::f32_to_f16(choice.dmin);
  grid.step[0] = choice.d;
  grid.offset[0] = -choice.dmin;
  return grid;
}

}  // namespace karat::codec
