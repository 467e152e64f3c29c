// Error feedback: columns are rounded one after the other (or in a format's groups), each where the
// errors of those before it are best made up for.
#pragma once

#include "rounding/coded.h"
#include "rounding/quadratic.h"

namespace karat::rounding {

// Chooses grids and codes of all rows. When a block opens, its grid is searched for the targets
// that the errors before it leave, weighted by what an error then costs; within the block each
// column's target moves with the errors in it. A group of several elements (the lattice formats) is
// rounded around the point where it would cause no error, in the metric's diagonal.
void round_with_feedback(const Quadratic& quadratic, CodedRows& coded);

}  // namespace karat::rounding
