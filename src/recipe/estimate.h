// How long a quantization will take, from a trial on this machine.
#pragma once

#include <string>

#include "recipe/quantize.h"

namespace karat::recipe {

struct TimeEstimate {
  double seconds = 0;
  std::string basis;  // what it was derived from, and what it leaves out; for people
};

// Encodes a few rows of random numbers for every pair of types in the plan, a fraction of a second
// in all, and hashes some bytes, on one thread; the rest is proportion. `input_bytes` are hashed
// for the receipt. No weights are read, and no disk is timed.
TimeEstimate estimate_time(const QuantizePlan& plan, uint64_t input_bytes, int threads);

}  // namespace karat::recipe
