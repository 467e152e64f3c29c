// Sums and the largest across lanes, of vectors whose halves are already combined: what vec_avx2.h
// and vec_avx512.h share. Included by both, inside their regions.

// l + l+4 of two registers of 8 lanes: a's in the lower half, b's in the upper one.
ISA_INLINE __m256 sum_by4(__m256 a, __m256 b) {
  return _mm256_add_ps(_mm256_permute2f128_ps(a, b, 0x20), _mm256_permute2f128_ps(a, b, 0x31));
}
// Sums of l and l+4, l+2, l+1 of four registers of 8 lanes.
ISA_INLINE void sum4_by8(__m256 a, __m256 b, __m256 c, __m256 d, float* out) {
  const __m256d ab = _mm256_castps_pd(sum_by4(a, b));
  const __m256d cd = _mm256_castps_pd(sum_by4(c, d));
  const __m256 by2 = _mm256_add_ps(_mm256_castpd_ps(_mm256_unpacklo_pd(ab, cd)),
                                   _mm256_castpd_ps(_mm256_unpackhi_pd(ab, cd)));
  const __m256 by1 = _mm256_add_ps(by2, _mm256_movehdup_ps(by2));  // a . c . | b . d .
  const __m128 ac = _mm256_castps256_ps128(by1);
  const __m128 bd = _mm256_extractf128_ps(by1, 1);
  _mm_storeu_ps(out, _mm_blend_ps(ac, _mm_moveldup_ps(bd), 10));
}

ISA_INLINE float sum_of8(__m256 by8) {
  const __m128 by4 = _mm_add_ps(_mm256_castps256_ps128(by8), _mm256_extractf128_ps(by8, 1));
  const __m128 by2 = _mm_add_ps(by4, _mm_movehl_ps(by4, by4));
  return _mm_cvtss_f32(_mm_add_ss(by2, _mm_movehdup_ps(by2)));
}
ISA_INLINE float largest_of8(__m256 by8) {
  const __m128 by4 = _mm_max_ps(_mm256_castps256_ps128(by8), _mm256_extractf128_ps(by8, 1));
  const __m128 by2 = _mm_max_ps(by4, _mm_movehl_ps(by4, by4));
  return _mm_cvtss_f32(_mm_max_ss(by2, _mm_movehdup_ps(by2)));
}
