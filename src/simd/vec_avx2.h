// The vocabulary of vec_scalar.h on AVX2, FMA and F16C: two 256-bit registers, lanes 0-7 in lo. See
// there for the meaning of each operation.

struct F16x {
  __m256 lo, hi;
};
struct I16x {
  __m256i lo, hi;
};
struct M16x {
  __m256 lo, hi;  // all bits of a true lane are set
};

// All bits set in the lanes below n of the 8 that start at `lane`.
ISA_INLINE __m256i mask_of(int64_t n, int lane) {
  const __m256i index = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int32_t>(n) - lane), index);
}

ISA_INLINE F16x splat(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
ISA_INLINE F16x load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
ISA_INLINE M16x first(int64_t n) {
  return {_mm256_castsi256_ps(mask_of(n, 0)), _mm256_castsi256_ps(mask_of(n, 8))};
}
ISA_INLINE uint32_t lane_bits(M16x m) {
  return static_cast<uint32_t>(_mm256_movemask_ps(m.lo)) |
         static_cast<uint32_t>(_mm256_movemask_ps(m.hi)) << 8;
}
ISA_INLINE F16x select(M16x m, F16x yes, F16x no) {
  return {_mm256_blendv_ps(no.lo, yes.lo, m.lo), _mm256_blendv_ps(no.hi, yes.hi, m.hi)};
}
ISA_INLINE F16x load_raw(const void* p) {
  const auto* halves = static_cast<const __m256i*>(p);
  return {_mm256_castsi256_ps(_mm256_loadu_si256(halves)),
          _mm256_castsi256_ps(_mm256_loadu_si256(halves + 1))};
}
ISA_INLINE F16x load_n(const float* p, int64_t n, float fill = 0) {
  const F16x loaded = {_mm256_maskload_ps(p, mask_of(n, 0)),
                       _mm256_maskload_ps(p + 8, mask_of(n, 8))};
  return select(first(n), loaded, splat(fill));
}
ISA_INLINE __m256i strided_index(int64_t stride) {
  const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  return _mm256_mullo_epi32(lane, _mm256_set1_epi32(static_cast<int32_t>(stride)));
}
ISA_INLINE F16x load_strided(const float* p, int64_t stride) {
  const __m256i index = strided_index(stride);
  return {_mm256_i32gather_ps(p, index, 4), _mm256_i32gather_ps(p + 8 * stride, index, 4)};
}
ISA_INLINE F16x load_strided_n(const float* p, int64_t stride, int64_t n) {
  const __m256i index = strided_index(stride);
  const M16x mask = first(n);
  return {_mm256_mask_i32gather_ps(_mm256_setzero_ps(), p, index, mask.lo, 4),
          _mm256_mask_i32gather_ps(_mm256_setzero_ps(), p + 8 * stride, index, mask.hi, 4)};
}
// The four elements at p in the lower half, those at p + 16 in the upper one.
ISA_INLINE __m256 load_quads(const float* p) {
  return _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(p)), _mm_loadu_ps(p + 16), 1);
}
// Lane l of out[j] from p[4 * l + j], for 8 lanes: a 4 x 4 transposition in each half.
ISA_INLINE void load_interleaved8(const float* p, __m256 (&out)[4]) {
  const __m256 a = load_quads(p);
  const __m256 b = load_quads(p + 4);
  const __m256 c = load_quads(p + 8);
  const __m256 d = load_quads(p + 12);
  const __m256d ab01 = _mm256_castps_pd(_mm256_unpacklo_ps(a, b));
  const __m256d ab23 = _mm256_castps_pd(_mm256_unpackhi_ps(a, b));
  const __m256d cd01 = _mm256_castps_pd(_mm256_unpacklo_ps(c, d));
  const __m256d cd23 = _mm256_castps_pd(_mm256_unpackhi_ps(c, d));
  out[0] = _mm256_castpd_ps(_mm256_unpacklo_pd(ab01, cd01));
  out[1] = _mm256_castpd_ps(_mm256_unpackhi_pd(ab01, cd01));
  out[2] = _mm256_castpd_ps(_mm256_unpacklo_pd(ab23, cd23));
  out[3] = _mm256_castpd_ps(_mm256_unpackhi_pd(ab23, cd23));
}
ISA_INLINE void load_interleaved(const float* p, F16x (&out)[4]) {
  __m256 lo[4];
  __m256 hi[4];
  load_interleaved8(p, lo);
  load_interleaved8(p + 32, hi);
  for (int j = 0; j < 4; ++j) out[j] = {lo[j], hi[j]};
}
ISA_INLINE void store(float* p, F16x a) {
  _mm256_storeu_ps(p, a.lo);
  _mm256_storeu_ps(p + 8, a.hi);
}
ISA_INLINE void store(int32_t* p, I16x a) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), a.lo);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p + 8), a.hi);
}
ISA_INLINE void store_n(float* p, int64_t n, F16x a) {
  _mm256_maskstore_ps(p, mask_of(n, 0), a.lo);
  _mm256_maskstore_ps(p + 8, mask_of(n, 8), a.hi);
}

ISA_INLINE F16x add(F16x a, F16x b) {
  return {_mm256_add_ps(a.lo, b.lo), _mm256_add_ps(a.hi, b.hi)};
}
ISA_INLINE F16x sub(F16x a, F16x b) {
  return {_mm256_sub_ps(a.lo, b.lo), _mm256_sub_ps(a.hi, b.hi)};
}
ISA_INLINE F16x mul(F16x a, F16x b) {
  return {_mm256_mul_ps(a.lo, b.lo), _mm256_mul_ps(a.hi, b.hi)};
}
ISA_INLINE F16x div(F16x a, F16x b) {
  return {_mm256_div_ps(a.lo, b.lo), _mm256_div_ps(a.hi, b.hi)};
}
ISA_INLINE F16x fma(F16x a, F16x b, F16x c) {
  return {_mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi)};
}
ISA_INLINE F16x fnma(F16x a, F16x b, F16x c) {
  return {_mm256_fnmadd_ps(a.lo, b.lo, c.lo), _mm256_fnmadd_ps(a.hi, b.hi, c.hi)};
}
ISA_INLINE F16x min(F16x a, F16x b) {
  return {_mm256_min_ps(a.lo, b.lo), _mm256_min_ps(a.hi, b.hi)};
}
ISA_INLINE F16x max(F16x a, F16x b) {
  return {_mm256_max_ps(a.lo, b.lo), _mm256_max_ps(a.hi, b.hi)};
}
ISA_INLINE F16x sqrt(F16x a) { return {_mm256_sqrt_ps(a.lo), _mm256_sqrt_ps(a.hi)}; }
ISA_INLINE F16x abs(F16x a) {
  const __m256 sign = _mm256_set1_ps(-0.0F);
  return {_mm256_andnot_ps(sign, a.lo), _mm256_andnot_ps(sign, a.hi)};
}

ISA_INLINE M16x less(F16x a, F16x b) {
  return {_mm256_cmp_ps(a.lo, b.lo, _CMP_LT_OQ), _mm256_cmp_ps(a.hi, b.hi, _CMP_LT_OQ)};
}
ISA_INLINE M16x is_nan(F16x a) {
  return {_mm256_cmp_ps(a.lo, a.lo, _CMP_UNORD_Q), _mm256_cmp_ps(a.hi, a.hi, _CMP_UNORD_Q)};
}

ISA_INLINE I16x splat_i(int32_t x) { return {_mm256_set1_epi32(x), _mm256_set1_epi32(x)}; }
ISA_INLINE I16x bits(F16x a) { return {_mm256_castps_si256(a.lo), _mm256_castps_si256(a.hi)}; }
ISA_INLINE F16x from_bits(I16x a) { return {_mm256_castsi256_ps(a.lo), _mm256_castsi256_ps(a.hi)}; }
ISA_INLINE I16x select(M16x m, I16x yes, I16x no) {
  return bits(select(m, from_bits(yes), from_bits(no)));
}
ISA_INLINE F16x to_float(I16x a) { return {_mm256_cvtepi32_ps(a.lo), _mm256_cvtepi32_ps(a.hi)}; }
ISA_INLINE I16x to_int(F16x a) { return {_mm256_cvtps_epi32(a.lo), _mm256_cvtps_epi32(a.hi)}; }
ISA_INLINE __m256 lookup16_half(F16x table, __m256i index) {
  const __m256 low = _mm256_permutevar8x32_ps(table.lo, index);
  const __m256 high = _mm256_permutevar8x32_ps(table.hi, index);
  // Bit 3 of the index, moved to the sign, chooses the half.
  return _mm256_blendv_ps(low, high, _mm256_castsi256_ps(_mm256_slli_epi32(index, 28)));
}
ISA_INLINE F16x lookup16(F16x table, I16x index) {
  return {lookup16_half(table, index.lo), lookup16_half(table, index.hi)};
}
ISA_INLINE I16x lookup_u16(const uint16_t* table, I16x index) {
  const auto* words = reinterpret_cast<const int*>(table);
  const __m256i low_half = _mm256_set1_epi32(0xffff);
  return {_mm256_and_si256(_mm256_i32gather_epi32(words, index.lo, 2), low_half),
          _mm256_and_si256(_mm256_i32gather_epi32(words, index.hi, 2), low_half)};
}
ISA_INLINE I16x add(I16x a, I16x b) {
  return {_mm256_add_epi32(a.lo, b.lo), _mm256_add_epi32(a.hi, b.hi)};
}
ISA_INLINE I16x sub(I16x a, I16x b) {
  return {_mm256_sub_epi32(a.lo, b.lo), _mm256_sub_epi32(a.hi, b.hi)};
}
ISA_INLINE I16x bit_and(I16x a, I16x b) {
  return {_mm256_and_si256(a.lo, b.lo), _mm256_and_si256(a.hi, b.hi)};
}
ISA_INLINE I16x bit_or(I16x a, I16x b) {
  return {_mm256_or_si256(a.lo, b.lo), _mm256_or_si256(a.hi, b.hi)};
}
ISA_INLINE I16x shift_left(I16x a, int count) {
  const __m128i c = _mm_cvtsi32_si128(count);
  return {_mm256_sll_epi32(a.lo, c), _mm256_sll_epi32(a.hi, c)};
}
ISA_INLINE I16x shift_right(I16x a, int count) {
  const __m128i c = _mm_cvtsi32_si128(count);
  return {_mm256_srl_epi32(a.lo, c), _mm256_srl_epi32(a.hi, c)};
}

ISA_INLINE void store_bytes(void* p, I16x a) {
  auto* halves = static_cast<__m256i*>(p);
  _mm256_storeu_si256(halves, a.lo);
  _mm256_storeu_si256(halves + 1, a.hi);
}
ISA_INLINE I16x lookup_bytes(const uint8_t* table, I16x a) {
  const __m256i levels =
      _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(table)));
  return {_mm256_shuffle_epi8(levels, a.lo), _mm256_shuffle_epi8(levels, a.hi)};
}
ISA_INLINE void store_i8(int8_t* p, I16x a) {
  // The low byte of each dword to the front of its half, then the four fours side by side.
  const __m256i low = _mm256_broadcastsi128_si256(
      _mm_setr_epi8(0, 4, 8, 12, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1));
  const __m256i eights = _mm256_unpacklo_epi32(_mm256_shuffle_epi8(a.lo, low),
                                               _mm256_shuffle_epi8(a.hi, low));  // 0 8 . . | 4 12
  const __m128i sixteen =
      _mm_unpacklo_epi32(_mm256_castsi256_si128(eights), _mm256_extracti128_si256(eights, 1));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), sixteen);
}

ISA_INLINE I16x load_u8(const uint8_t* p) {
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return {_mm256_cvtepu8_epi32(bytes), _mm256_cvtepu8_epi32(_mm_srli_si128(bytes, 8))};
}
ISA_INLINE I16x load_i8(const int8_t* p) {
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return {_mm256_cvtepi8_epi32(bytes), _mm256_cvtepi8_epi32(_mm_srli_si128(bytes, 8))};
}
// Sixteen 16-bit words, of which only the first n are read; the others are zero.
struct Words {
  __m128i lo, hi;
};
ISA_INLINE Words load_words(const void* p) {
  const auto* words = static_cast<const __m128i*>(p);
  return {_mm_loadu_si128(words), _mm_loadu_si128(words + 1)};
}
ISA_INLINE Words load_words_n(const void* p, int64_t n) {
  alignas(16) uint16_t words[16] = {};
  std::memcpy(words, p, static_cast<size_t>(n) * sizeof words[0]);
  return load_words(words);
}
ISA_INLINE F16x widen_bf16(Words w) {
  return {_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(w.lo), 16)),
          _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(w.hi), 16))};
}
ISA_INLINE F16x widen_f16(Words w) { return {_mm256_cvtph_ps(w.lo), _mm256_cvtph_ps(w.hi)}; }
ISA_INLINE F16x load_bf16(const void* p) { return widen_bf16(load_words(p)); }
ISA_INLINE F16x load_bf16_n(const void* p, int64_t n) { return widen_bf16(load_words_n(p, n)); }
ISA_INLINE F16x load_f16(const void* p) { return widen_f16(load_words(p)); }
ISA_INLINE F16x load_f16_n(const void* p, int64_t n) { return widen_f16(load_words_n(p, n)); }

#include "simd/vec_avx.h"

ISA_INLINE __m256 sum_by8(F16x a) { return _mm256_add_ps(a.lo, a.hi); }
ISA_INLINE float sum(F16x a) { return sum_of8(sum_by8(a)); }
ISA_INLINE void sum4(F16x a, F16x b, F16x c, F16x d, float* out) {
  sum4_by8(sum_by8(a), sum_by8(b), sum_by8(c), sum_by8(d), out);
}
ISA_INLINE float largest(F16x a) { return largest_of8(_mm256_max_ps(a.lo, a.hi)); }
ISA_INLINE float first_lane(F16x a) { return _mm256_cvtss_f32(a.lo); }
ISA_INLINE int32_t sum(I16x a) {
  const __m256i by8 = _mm256_add_epi32(a.lo, a.hi);
  const __m128i by4 = _mm_add_epi32(_mm256_castsi256_si128(by8), _mm256_extracti128_si256(by8, 1));
  const __m128i by2 = _mm_add_epi32(by4, _mm_unpackhi_epi64(by4, by4));
  return _mm_cvtsi128_si32(_mm_add_epi32(by2, _mm_shuffle_epi32(by2, 1)));
}
