// Two models on the same chunks: how their divergences compare, by a bootstrap that draws the same
// chunks for both. What chunks have in common, easy and hard text, leaves the interval.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "eval/estimate.h"

namespace karat::eval {

struct Ratio {
  double value = 0;
  Interval interval;  // 95 %
};

// All from the mean KLD per chunk (DivergenceResult::chunk_kld) of a and b, on the same chunks.
struct PairedComparison {
  double difference = 0;  // mean a - mean b
  Interval difference_interval;
  // mean a / mean b; nothing if b is 0 in a resample, as a model against itself is.
  std::optional<Ratio> ratio;
  // The same of what is above the floor's divergence; nothing without a floor, or if b is not above
  // it in every resample.
  std::optional<Ratio> above_floor;
};

// `floor` is empty, or as long as a and b.
PairedComparison compare_paired(std::span<const double> a, std::span<const double> b,
                                std::span<const double> floor, uint64_t seed);

}  // namespace karat::eval
