#include "codec/distortion.h"

#include <vector>

#include "base/error.h"

namespace karat::codec {

Distortion& Distortion::operator+=(const Distortion& other) {
  error += other.error;
  signal += other.signal;
  weight += other.weight;
  return *this;
}

Distortion distortion(std::span<const float> values, std::span<const float> decoded,
                      std::span<const float> w) {
  CHECK(values.size() == decoded.size());
  CHECK(w.empty() || w.size() == values.size());
  Distortion sum;
  for (size_t i = 0; i < values.size(); ++i) {
    const double weight = w.empty() ? 1.0 : static_cast<double>(w[i]);
    const double value = static_cast<double>(values[i]);
    const double error = static_cast<double>(decoded[i]) - value;
    sum.error += weight * error * error;
    sum.signal += weight * value * value;
    sum.weight += weight;
  }
  return sum;
}

Distortion distortion(const Codec& codec, std::span<const float> values,
                      std::span<const std::byte> bytes, std::span<const float> w) {
  std::vector<float> decoded(values.size());
  codec.decode(bytes, decoded);
  return distortion(values, decoded, w);
}

}  // namespace karat::codec
