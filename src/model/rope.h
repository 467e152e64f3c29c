// Rotary position embedding: frequencies, the position axis each of them follows, YaRN.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "model/config.h"

namespace karat::model {

// A token's place on the three axes of interleaved M-RoPE: time, height, width. Equal for text.
using RopePosition = std::array<int64_t, 3>;

struct RopeTable {
  std::vector<double> frequency;  // [dims / 2], after YaRN
  std::vector<uint8_t> axis;      // [dims / 2]: the axis whose position each frequency takes
  double factor = 1;              // YaRN's attention factor, on cos and sin
};

// frequency[i] = theta^(-2i/dims). Interleaved M-RoPE: i % 3 = 1 follows the height below 3 *
// sections[1], i % 3 = 2 the width below 3 * sections[2], all others the time. YaRN (Peng et al.,
// "YaRN: Efficient Context Window Extension", 2023, section 3.4) with beta_fast 32, beta_slow 1.
RopeTable make_rope_table(const RopeConfig& config);

// cos and sin [dims / 2] of position * frequency, computed in double and rounded once.
void rope_angles(const RopeTable& table, const RopePosition& position, float* cos, float* sin);

}  // namespace karat::model
