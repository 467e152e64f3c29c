// How far an encoded row is from its values: the figures that tests, reports and plans quote.
#pragma once

#include <cstddef>
#include <span>

#include "codec/codec.h"

namespace karat::codec {

// Sums over elements, in double and index order. Add rows with +=.
struct Distortion {
  double error = 0;   // sum of w * (decoded - value)^2
  double signal = 0;  // sum of w * value^2
  double weight = 0;  // sum of w
  // Weighted mean squared error, and the same relative to the signal; 0 where nothing was added.
  double mean_error() const { return weight > 0 ? error / weight : 0; }
  double relative_error() const { return signal > 0 ? error / signal : 0; }
  Distortion& operator+=(const Distortion& other);
};

// Of decoded values; w is empty (all ones) or has an entry per value.
Distortion distortion(std::span<const float> values, std::span<const float> decoded,
                      std::span<const float> w);

// Of an encoded row: decodes `bytes` and compares.
Distortion distortion(const Codec& codec, std::span<const float> values,
                      std::span<const std::byte> bytes, std::span<const float> w);

}  // namespace karat::codec
