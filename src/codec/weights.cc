#include "codec/weights.h"

#include <algorithm>

#include "base/error.h"
#include "codec/table.h"

namespace karat::codec {
void weigh(WeightRule rule, std::span<const float> x, std::span<const float> importance,
           std::span<float> w) {
  CHECK(w.size() == x.size());
  CHECK(importance.empty() || importance.size() == x.size());
  if (rule == WeightRule::magnitude) {
    CHECK(x.size() % 256 == 0);
    if (!importance.empty()) {
      weigh_by_size(2, 256, x, importance, w);
    } else {
      table().weigh_by_magnitude(x.data(), static_cast<int>(x.size()), w.data());
    }
  } else if (importance.empty()) {
    std::fill(w.begin(), w.end(), 1.0F);
  } else {
    std::copy(importance.begin(), importance.end(), w.begin());
  }
}

void weigh_by_size(float factor, size_t block, std::span<const float> x,
                   std::span<const float> importance, std::span<float> w) {
  CHECK(w.size() == x.size() && x.size() % block == 0 && block % 16 == 0);
  CHECK(importance.empty() || importance.size() == x.size());
  if (importance.empty()) {
    std::fill(w.begin(), w.end(), 1.0F);
    return;
  }
  condition_weights(importance.data(), static_cast<int>(importance.size()), w.data());
  table().weigh_by_size(factor, static_cast<int>(block), x.data(), static_cast<int>(x.size()),
                        w.data());
}

void condition_weights(const float* w, int n, float* out) { table().condition_weights(w, n, out); }

}  // namespace karat::codec
