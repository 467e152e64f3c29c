// Four float lanes: enough to use any x86-64 or ARM machine's vectors without naming one. Every
// operation is the scalar one per lane and every sum has one fixed order, so results do not depend
// on how the compiler lowers them.
#pragma once

#include <cstring>

namespace karat::codec {

inline constexpr int kLanes = 4;
using Lanes [[gnu::vector_size(sizeof(float) * kLanes)]] = float;

inline Lanes load_lanes(const float* at) {
  Lanes lanes;
  std::memcpy(&lanes, at, sizeof lanes);
  return lanes;
}
inline Lanes all_lanes(float value) { return Lanes{value, value, value, value}; }
inline Lanes min_lanes(Lanes a, Lanes b) { return a < b ? a : b; }
inline Lanes max_lanes(Lanes a, Lanes b) { return a > b ? a : b; }

// Nearest integer, ties to even, for |value| < 2^22: adding 1.5 * 2^23 leaves no fraction bits.
inline Lanes round_lanes(Lanes values) {
  const Lanes magic = all_lanes(0x1.8p23F);
  return (values + magic) - magic;
}
inline float round_even(float value) { return (value + 0x1.8p23F) - 0x1.8p23F; }

inline float sum_lanes(Lanes lanes) { return (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]); }

}  // namespace karat::codec
