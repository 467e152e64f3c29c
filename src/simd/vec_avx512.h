// The vocabulary of vec_scalar.h on AVX-512: one 512-bit register. See there for the meaning of
// each operation.

struct F16x {
  __m512 v;
};
struct I16x {
  __m512i v;
};
struct M16x {
  __mmask16 v;
};

ISA_INLINE __mmask16 mask_of(int64_t n) {
  return static_cast<__mmask16>((uint32_t{1} << static_cast<uint32_t>(n)) - 1);
}

ISA_INLINE F16x splat(float x) { return {_mm512_set1_ps(x)}; }
ISA_INLINE F16x load(const float* p) { return {_mm512_loadu_ps(p)}; }
ISA_INLINE F16x load_raw(const void* p) { return {_mm512_castsi512_ps(_mm512_loadu_si512(p))}; }
ISA_INLINE F16x load_n(const float* p, int64_t n, float fill = 0) {
  return {_mm512_mask_loadu_ps(_mm512_set1_ps(fill), mask_of(n), p)};
}
ISA_INLINE __m512i strided_index(int64_t stride) {
  const __m512i lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  return _mm512_mullo_epi32(lane, _mm512_set1_epi32(static_cast<int32_t>(stride)));
}
ISA_INLINE F16x load_strided(const float* p, int64_t stride) {
  return {_mm512_i32gather_ps(strided_index(stride), p, 4)};
}
ISA_INLINE F16x load_strided_n(const float* p, int64_t stride, int64_t n) {
  return {_mm512_mask_i32gather_ps(_mm512_setzero_ps(), mask_of(n), strided_index(stride), p, 4)};
}
ISA_INLINE void load_interleaved(const float* p, F16x (&out)[4]) {
  // Eight lanes of j and eight of j + 1, from the 32 elements of two registers.
  const __m512i first_two =
      _mm512_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28, 1, 5, 9, 13, 17, 21, 25, 29);
  const __m512i last_two = _mm512_add_epi32(first_two, _mm512_set1_epi32(2));
  const __m512 a = _mm512_loadu_ps(p);
  const __m512 b = _mm512_loadu_ps(p + 16);
  const __m512 c = _mm512_loadu_ps(p + 32);
  const __m512 d = _mm512_loadu_ps(p + 48);
  const __m512 low01 = _mm512_permutex2var_ps(a, first_two, b);
  const __m512 high01 = _mm512_permutex2var_ps(c, first_two, d);
  const __m512 low23 = _mm512_permutex2var_ps(a, last_two, b);
  const __m512 high23 = _mm512_permutex2var_ps(c, last_two, d);
  out[0].v = _mm512_shuffle_f32x4(low01, high01, 0x44);
  out[1].v = _mm512_shuffle_f32x4(low01, high01, 0xee);
  out[2].v = _mm512_shuffle_f32x4(low23, high23, 0x44);
  out[3].v = _mm512_shuffle_f32x4(low23, high23, 0xee);
}
ISA_INLINE void store(float* p, F16x a) { _mm512_storeu_ps(p, a.v); }
ISA_INLINE void store(int32_t* p, I16x a) { _mm512_storeu_si512(p, a.v); }
ISA_INLINE void store_n(float* p, int64_t n, F16x a) { _mm512_mask_storeu_ps(p, mask_of(n), a.v); }

ISA_INLINE F16x add(F16x a, F16x b) { return {_mm512_add_ps(a.v, b.v)}; }
ISA_INLINE F16x sub(F16x a, F16x b) { return {_mm512_sub_ps(a.v, b.v)}; }
ISA_INLINE F16x mul(F16x a, F16x b) { return {_mm512_mul_ps(a.v, b.v)}; }
ISA_INLINE F16x div(F16x a, F16x b) { return {_mm512_div_ps(a.v, b.v)}; }
ISA_INLINE F16x fma(F16x a, F16x b, F16x c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
ISA_INLINE F16x fnma(F16x a, F16x b, F16x c) { return {_mm512_fnmadd_ps(a.v, b.v, c.v)}; }
ISA_INLINE F16x min(F16x a, F16x b) { return {_mm512_min_ps(a.v, b.v)}; }
ISA_INLINE F16x max(F16x a, F16x b) { return {_mm512_max_ps(a.v, b.v)}; }
ISA_INLINE F16x sqrt(F16x a) { return {_mm512_sqrt_ps(a.v)}; }
ISA_INLINE F16x abs(F16x a) { return {_mm512_abs_ps(a.v)}; }

ISA_INLINE M16x less(F16x a, F16x b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_LT_OQ)}; }
ISA_INLINE M16x is_nan(F16x a) { return {_mm512_cmp_ps_mask(a.v, a.v, _CMP_UNORD_Q)}; }
ISA_INLINE M16x first(int64_t n) { return {mask_of(n)}; }
ISA_INLINE uint32_t lane_bits(M16x m) { return m.v; }
ISA_INLINE F16x select(M16x m, F16x yes, F16x no) {
  return {_mm512_mask_blend_ps(m.v, no.v, yes.v)};
}
ISA_INLINE I16x select(M16x m, I16x yes, I16x no) {
  return {_mm512_mask_blend_epi32(m.v, no.v, yes.v)};
}

ISA_INLINE I16x splat_i(int32_t x) { return {_mm512_set1_epi32(x)}; }
ISA_INLINE I16x bits(F16x a) { return {_mm512_castps_si512(a.v)}; }
ISA_INLINE F16x from_bits(I16x a) { return {_mm512_castsi512_ps(a.v)}; }
ISA_INLINE F16x to_float(I16x a) { return {_mm512_cvtepi32_ps(a.v)}; }
ISA_INLINE I16x to_int(F16x a) { return {_mm512_cvtps_epi32(a.v)}; }
ISA_INLINE F16x lookup16(F16x table, I16x index) {
  return {_mm512_permutexvar_ps(index.v, table.v)};
}
ISA_INLINE I16x lookup_u16(const uint16_t* table, I16x index) {
  return {_mm512_and_si512(_mm512_i32gather_epi32(index.v, table, 2), _mm512_set1_epi32(0xffff))};
}
ISA_INLINE I16x add(I16x a, I16x b) { return {_mm512_add_epi32(a.v, b.v)}; }
ISA_INLINE I16x sub(I16x a, I16x b) { return {_mm512_sub_epi32(a.v, b.v)}; }
ISA_INLINE I16x bit_and(I16x a, I16x b) { return {_mm512_and_si512(a.v, b.v)}; }
ISA_INLINE I16x bit_or(I16x a, I16x b) { return {_mm512_or_si512(a.v, b.v)}; }
ISA_INLINE I16x shift_left(I16x a, int count) {
  return {_mm512_sll_epi32(a.v, _mm_cvtsi32_si128(count))};
}
ISA_INLINE I16x shift_right(I16x a, int count) {
  return {_mm512_srl_epi32(a.v, _mm_cvtsi32_si128(count))};
}

ISA_INLINE void store_bytes(void* p, I16x a) { _mm512_storeu_si512(p, a.v); }
ISA_INLINE I16x lookup_bytes(const uint8_t* table, I16x a) {
  const __m128i levels = _mm_loadu_si128(reinterpret_cast<const __m128i*>(table));
  return {_mm512_shuffle_epi8(_mm512_broadcast_i32x4(levels), a.v)};
}
ISA_INLINE void store_i8(int8_t* p, I16x a) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(a.v));
}

ISA_INLINE I16x load_u8(const uint8_t* p) {
  return {_mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)))};
}
ISA_INLINE I16x load_i8(const int8_t* p) {
  return {_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)))};
}
ISA_INLINE F16x widen_bf16(__m256i words) {
  return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(words), 16))};
}
ISA_INLINE F16x load_bf16(const void* p) {
  return widen_bf16(_mm256_loadu_si256(static_cast<const __m256i*>(p)));
}
ISA_INLINE F16x load_bf16_n(const void* p, int64_t n) {
  return widen_bf16(_mm256_maskz_loadu_epi16(mask_of(n), p));
}
ISA_INLINE F16x load_f16(const void* p) {
  return {_mm512_cvtph_ps(_mm256_loadu_si256(static_cast<const __m256i*>(p)))};
}
ISA_INLINE F16x load_f16_n(const void* p, int64_t n) {
  return {_mm512_cvtph_ps(_mm256_maskz_loadu_epi16(mask_of(n), p))};
}

#include "simd/vec_avx.h"

ISA_INLINE __m256 sum_by8(F16x a) {
  return _mm256_add_ps(_mm512_castps512_ps256(a.v), _mm512_extractf32x8_ps(a.v, 1));
}
ISA_INLINE float sum(F16x a) { return sum_of8(sum_by8(a)); }
ISA_INLINE void sum4(F16x a, F16x b, F16x c, F16x d, float* out) {
  sum4_by8(sum_by8(a), sum_by8(b), sum_by8(c), sum_by8(d), out);
}
ISA_INLINE float largest(F16x a) {
  return largest_of8(_mm256_max_ps(_mm512_castps512_ps256(a.v), _mm512_extractf32x8_ps(a.v, 1)));
}
ISA_INLINE float first_lane(F16x a) { return _mm512_cvtss_f32(a.v); }
ISA_INLINE int32_t sum(I16x a) { return _mm512_reduce_add_epi32(a.v); }
