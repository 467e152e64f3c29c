// What the kernel benches share: medians, and the machine's peak of fused multiply-adds.
#pragma once

#include <immintrin.h>
#include <time.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string_view>
#include <vector>

#include "simd/isa.h"

namespace karat::bench {

// CPU time of this thread, which other load on the machine disturbs less than it does the clock.
inline double thread_seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

// Seconds of one call of body, the median of `runs`; a body faster than 2 ms is repeated within a
// run.
template <class Body>
double median_seconds(int runs, Body body) {
  std::vector<double> seconds;
  int64_t repeats = 1;
  while (static_cast<int>(seconds.size()) < runs) {
    const double begin = thread_seconds();
    for (int64_t r = 0; r < repeats; ++r) body();
    const double took = thread_seconds() - begin;
    if (took < 2e-3) {
      repeats *= 2;
      continue;
    }
    seconds.push_back(took / static_cast<double>(repeats));
  }
  std::sort(seconds.begin(), seconds.end());
  return seconds[seconds.size() / 2];
}

constexpr int64_t kPeakSteps = 20000;
constexpr int kChains = 12;  // covers latency 4 to 5 times 2 units

inline float peak_scalar() {
  float chain[kChains] = {};
  for (int64_t i = 0; i < kPeakSteps; ++i) {
    ISA_UNROLL
    for (float& c : chain) c = std::fma(c, 0.999F, 1e-3F);
  }
  return chain[0] + chain[kChains - 1];
}

ISA_BEGIN("avx2,fma")
inline float peak_avx2() {
  __m256 chain[kChains];
  ISA_UNROLL
  for (int j = 0; j < kChains; ++j) chain[j] = _mm256_set1_ps(static_cast<float>(j));
  const __m256 a = _mm256_set1_ps(0.999F);
  const __m256 b = _mm256_set1_ps(1e-3F);
  for (int64_t i = 0; i < kPeakSteps; ++i) {
    ISA_UNROLL
    for (int j = 0; j < kChains; ++j) chain[j] = _mm256_fmadd_ps(chain[j], a, b);
  }
  __m256 total = chain[0];
  ISA_UNROLL
  for (int j = 1; j < kChains; ++j) total = _mm256_add_ps(total, chain[j]);
  return _mm256_cvtss_f32(total);
}
ISA_END

ISA_BEGIN("avx512f")
inline float peak_avx512() {
  __m512 chain[kChains];
  ISA_UNROLL
  for (int j = 0; j < kChains; ++j) chain[j] = _mm512_set1_ps(static_cast<float>(j));
  const __m512 a = _mm512_set1_ps(0.999F);
  const __m512 b = _mm512_set1_ps(1e-3F);
  for (int64_t i = 0; i < kPeakSteps; ++i) {
    ISA_UNROLL
    for (int j = 0; j < kChains; ++j) chain[j] = _mm512_fmadd_ps(chain[j], a, b);
  }
  __m512 total = chain[0];
  ISA_UNROLL
  for (int j = 1; j < kChains; ++j) total = _mm512_add_ps(total, chain[j]);
  return _mm512_cvtss_f32(total);
}
ISA_END

// GFLOP/s of independent fused multiply-adds on one core, with the table's instructions.
inline double peak_gflops(std::string_view table) {
  volatile float sink = 0;
  const int64_t lanes = table.starts_with("avx512") ? 16 : table == "avx2" ? 8 : 1;
  const double seconds = median_seconds(9, [&] {
    sink = lanes == 16 ? peak_avx512() : lanes == 8 ? peak_avx2() : peak_scalar();
  });
  return 2e-9 * static_cast<double>(kPeakSteps * kChains * lanes) / seconds;
}

ISA_BEGIN("avx2")
// Bytes to pairs, pairs to dwords, and the addition: what a product of bytes takes without VNNI.
inline int byte_peak_avx2() {
  __m256i chain[kChains];
  ISA_UNROLL
  for (int j = 0; j < kChains; ++j) chain[j] = _mm256_set1_epi32(j);
  const __m256i a = _mm256_set1_epi8(3);
  const __m256i ones = _mm256_set1_epi16(1);
  for (int64_t i = 0; i < kPeakSteps; ++i) {
    ISA_UNROLL
    for (int j = 0; j < kChains; ++j) {
      const __m256i pairs = _mm256_maddubs_epi16(a, chain[j]);
      chain[j] = _mm256_add_epi32(chain[j], _mm256_madd_epi16(pairs, ones));
    }
  }
  __m256i total = chain[0];
  ISA_UNROLL
  for (int j = 1; j < kChains; ++j) total = _mm256_add_epi32(total, chain[j]);
  return _mm256_extract_epi32(total, 0);
}
ISA_END

ISA_BEGIN("avx512f,avx512vnni")
inline int byte_peak_avx512() {
  __m512i chain[kChains];
  ISA_UNROLL
  for (int j = 0; j < kChains; ++j) chain[j] = _mm512_set1_epi32(j);
  const __m512i a = _mm512_set1_epi32(0x03030303);
  for (int64_t i = 0; i < kPeakSteps; ++i) {
    ISA_UNROLL
    for (int j = 0; j < kChains; ++j) chain[j] = _mm512_dpbusd_epi32(chain[j], a, a);
  }
  __m512i total = chain[0];
  ISA_UNROLL
  for (int j = 1; j < kChains; ++j) total = _mm512_add_epi32(total, chain[j]);
  return _mm512_reduce_add_epi32(total);
}
ISA_END

inline int byte_peak_scalar() {
  int chain[kChains] = {};
  for (int64_t i = 0; i < kPeakSteps; ++i) {
    ISA_UNROLL
    for (int& c : chain) c = c * 3 + 1;
  }
  return chain[0] + chain[kChains - 1];
}

// 10^9 integer operations per second of independent sums of byte products on one core.
inline double peak_byte_gops(std::string_view table) {
  volatile int sink = 0;
  const int64_t bytes = table.starts_with("avx512") ? 64 : table == "avx2" ? 32 : 1;
  const double seconds = median_seconds(9, [&] {
    sink = table.starts_with("avx512") ? byte_peak_avx512()
           : table == "avx2"           ? byte_peak_avx2()
                                       : byte_peak_scalar();
  });
  return 2e-9 * static_cast<double>(kPeakSteps * kChains * bytes) / seconds;
}

}  // namespace karat::bench
