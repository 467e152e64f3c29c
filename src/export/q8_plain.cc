#include "export/q8_plain.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/error.h"
#include "base/half.h"
#include "codec/blocks.h"

namespace karat::exporting {

void encode_q8_plain(std::span<const float> x, std::span<std::byte> out) {
  constexpr size_t kElems = 32;
  const size_t blocks = x.size() / kElems;
  CHECK(x.size() % kElems == 0 && out.size() == blocks * sizeof(codec::BlockQ8_0));
  for (size_t b = 0; b < blocks; ++b) {
    const float* const values = x.data() + b * kElems;
    float largest = 0;
    for (size_t i = 0; i < kElems; ++i) largest = std::max(largest, std::fabs(values[i]));
    const float d = largest / 127.0F;
    const float inverse = d == 0 ? 0.0F : 1.0F / d;
    codec::BlockQ8_0 block;
    block.d = base::f32_to_f16(d);
    for (size_t i = 0; i < kElems; ++i) {
      const float scaled = values[i] * inverse;
      const float magnitude = std::fabs(scaled);
      const float whole = std::floor(magnitude);
      const float rounded = whole + std::floor(2 * (magnitude - whole));
      // 1 / d overflows for blocks of denormals only; their codes are then limited to the format's.
      block.q[i] = static_cast<int8_t>(std::copysign(std::min(rounded, 127.0F), scaled));
    }
    std::memcpy(out.data() + b * sizeof block, &block, sizeof block);
  }
}

}  // namespace karat::exporting
