// Buffers and values for kernel tests.
#pragma once

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "base/rng.h"

namespace karat::test {

// n elements at a chosen offset from the allocation's alignment, with a canary zone on both sides:
// intact() tells whether anything outside was written.
template <class T>
class Buffer {
 public:
  explicit Buffer(int64_t n, int64_t offset = 0)
      : storage_(static_cast<size_t>(n + 2 * kZone + offset), canary()),
        begin_(kZone + offset),
        size_(n) {}

  T* data() { return storage_.data() + begin_; }
  const T* data() const { return storage_.data() + begin_; }
  int64_t size() const { return size_; }
  T& operator[](int64_t i) { return data()[i]; }
  const T& operator[](int64_t i) const { return data()[i]; }

  bool intact() const {
    const T expected = canary();
    const auto same = [&](size_t i) {
      return std::memcmp(&storage_[i], &expected, sizeof expected) == 0;
    };
    for (size_t i = 0; i < static_cast<size_t>(begin_); ++i) {
      if (!same(i)) return false;
    }
    for (size_t i = static_cast<size_t>(begin_ + size_); i < storage_.size(); ++i) {
      if (!same(i)) return false;
    }
    return true;
  }

 private:
  static constexpr int64_t kZone = 32;
  static T canary() { return static_cast<T>(85); }

  std::vector<T> storage_;
  int64_t begin_;
  int64_t size_;
};

using Floats = Buffer<float>;

// Uniform in (-scale, scale).
inline void fill_random(Floats& buffer, base::Rng& rng, double scale = 1) {
  for (int64_t i = 0; i < buffer.size(); ++i) {
    buffer[i] = static_cast<float>((2 * rng.uniform() - 1) * scale);
  }
}

// Any bit pattern: subnormals, infinities and NaNs included.
inline void fill_bits(Floats& buffer, base::Rng& rng) {
  for (int64_t i = 0; i < buffer.size(); ++i) {
    buffer[i] = std::bit_cast<float>(static_cast<uint32_t>(rng.next()));
  }
}

// Mostly ordinary values with a special one now and then.
inline void fill_mixed(Floats& buffer, base::Rng& rng) {
  constexpr float kInf = std::numeric_limits<float>::infinity();
  const float special[] = {0.0F,    -0.0F,   kInf,   -kInf, std::nanf(""), 0x1p-149F,
                           -1e-40F, 3.4e38F, -3e38F, 88.8F, -104.0F,       -87.4F,
                           20.0F,   -1e-10F, 1e30F,  0.5F};
  for (int64_t i = 0; i < buffer.size(); ++i) {
    buffer[i] = rng.below(29) == 0 ? special[rng.below(std::size(special))]
                                   : static_cast<float>((2 * rng.uniform() - 1) * 12);
  }
}

// The bits, with all NaNs counted as one: which NaN results is not part of the contract.
inline uint32_t comparable_bits(float x) {
  return std::isnan(x) ? 0x7fc00000U : std::bit_cast<uint32_t>(x);
}

inline testing::AssertionResult same_bits(const float* a, const float* b, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    if (comparable_bits(a[i]) == comparable_bits(b[i])) continue;
    return testing::AssertionFailure()
           << "element " << i << " of " << n << ": " << std::hexfloat << a[i] << " and " << b[i];
  }
  return testing::AssertionSuccess();
}

inline testing::AssertionResult same_bits(const Floats& a, const Floats& b) {
  if (a.size() != b.size()) return testing::AssertionFailure() << "sizes differ";
  return same_bits(a.data(), b.data(), a.size());
}

}  // namespace karat::test
