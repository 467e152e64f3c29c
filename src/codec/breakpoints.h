// The best single step of a format with few codes, exactly.
#pragma once

#include <cstdint>

namespace karat::codec {

// value = h(d) * code, code in [low, high] with low < 0 < high: the d > 0 of least weighted squared
// error over n elements. As the step falls from infinity, one element after the other moves to its
// next code, so walking these breakpoints in order and fitting the step by least squares between
// any two of them sees every rounding (compilade, llama.cpp#12557); then the nearest halves are
// compared. Zero if all values are.
uint16_t search_breakpoints(const float* x, const float* w, int n, int low, int high);

// The sum of w (x - h(d) code)^2 with every element at its nearest code.
double breakpoint_error(const float* x, const float* w, int n, int low, int high, uint16_t d);

}  // namespace karat::codec
