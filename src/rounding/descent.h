// Coordinate descent in the exact quadratic form, from codes that something else chose.
#pragma once

#include "rounding/coded.h"
#include "rounding/quadratic.h"

namespace karat::rounding {

// `passes` times over all blocks: with everything else fixed, each code (or group of codes) moves
// to where e H e^T is least, then each sub-block's scale and min to a neighbouring integer where
// that lowers it. e H e^T never rises but by rounding.
void descend(const Quadratic& quadratic, int passes, CodedRows& coded);

}  // namespace karat::rounding
