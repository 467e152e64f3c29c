// Every operation of the vocabularies gives the scalar one's bits.
#include <gtest/gtest.h>
#include <immintrin.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <vector>

#include "base/half.h"
#include "base/rng.h"
#include "simd/choice.h"
#include "simd/isa.h"

namespace karat::simd::scalar {
namespace {
#include "simd/vec_scalar.h"

#include "simd/vec_operations.inl.h"
}  // namespace
}  // namespace karat::simd::scalar

ISA_BEGIN("avx2,fma,f16c")
namespace karat::simd::avx2 {
namespace {
#include "simd/vec_avx2.h"

#include "simd/vec_operations.inl.h"
}  // namespace
}  // namespace karat::simd::avx2
ISA_END

ISA_BEGIN("avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,f16c")
namespace karat::simd::avx512 {
namespace {
#include "simd/vec_avx512.h"

#include "simd/vec_operations.inl.h"
}  // namespace
}  // namespace karat::simd::avx512
ISA_END

namespace karat::simd {
namespace {

struct Inputs {
  std::vector<float> a, b, c;
  std::vector<uint8_t> words;
};

// Finite values of many magnitudes, ties of rounding among them; as 16-bit floats the words are
// finite too (which NaN results from several is not fixed).
Inputs random_inputs(uint64_t seed) {
  base::Rng rng(seed);
  Inputs in;
  const auto fill = [&](std::vector<float>& values) {
    for (int i = 0; i < 64; ++i) {
      const float value = static_cast<float>(std::exp(20 * rng.uniform() - 10));
      const float rounded = i % 4 == 0 ? std::round(value) + 0.5F : value;
      values.push_back(rng.uniform() < 0.5 ? -rounded : rounded);
    }
  };
  fill(in.a);
  fill(in.b);
  fill(in.c);
  for (int i = 0; i < 32; ++i) {
    const float value = static_cast<float>(rng.uniform() - 0.5);
    const uint16_t half = base::f32_to_f16(value);
    in.words.push_back(static_cast<uint8_t>(half));
    in.words.push_back(static_cast<uint8_t>(half >> 8));
  }
  return in;
}

using Operations = int64_t (*)(const float*, const float*, const float*, const uint8_t*, int64_t,
                               uint32_t*);
Operations operations_of(Isa isa) {
  switch (isa) {
    case Isa::avx512_bf16:
    case Isa::avx512:
      return avx512::run_operations;
    case Isa::avx2:
      return avx2::run_operations;
    case Isa::scalar:
      break;
  }
  return scalar::run_operations;
}

std::vector<uint32_t> results(Isa isa, const Inputs& in, int64_t n) {
  std::vector<uint32_t> out(1024);
  const int64_t count =
      operations_of(isa)(in.a.data(), in.b.data(), in.c.data(), in.words.data(), n, out.data());
  out.resize(static_cast<size_t>(count));
  return out;
}

TEST(Vocabulary, EveryOperationGivesTheScalarBits) {
  for (const Isa isa : supported()) {
    for (uint64_t seed = 0; seed < 50; ++seed) {
      const Inputs in = random_inputs(seed);
      for (int64_t n = 0; n <= 16; ++n) {
        ASSERT_EQ(results(isa, in, n), results(Isa::scalar, in, n)) << name_of(isa) << " " << n;
      }
    }
  }
}

// min, max, less and is_nan on the values where comparisons differ.
TEST(Vocabulary, SpecialValuesCompareAlike) {
  Inputs in = random_inputs(1);
  const float special[] = {0.0F,
                           -0.0F,
                           std::numeric_limits<float>::infinity(),
                           -std::numeric_limits<float>::infinity(),
                           std::nanf(""),
                           1e-45F};
  for (size_t i = 0; i < 16; ++i) {
    in.a[i] = special[i % 6];
    in.b[i] = special[(i / 3) % 6];
  }
  const auto compared = [&](Isa isa) {
    // Words that hold no arithmetic on NaNs: min and max onwards to select.
    const std::vector<uint32_t> all = results(isa, in, 16);
    return std::vector<uint32_t>(all.begin() + 16 * 10, all.begin() + 16 * 14);
  };
  for (const Isa isa : supported()) EXPECT_EQ(compared(isa), compared(Isa::scalar)) << name_of(isa);
}

}  // namespace
}  // namespace karat::simd
