// How the kernels use the vectors of simd/vec_avx2.h: see tile_scalar.inl.h.

constexpr int kTileRows = 4;
constexpr int kTileCols = 3;
constexpr int64_t kDepth = 512;
constexpr int64_t kCopyRows = 5;
constexpr int tile_cols(int rows) { return rows == 1 ? 4 : 3; }
constexpr bool whole_tile(int rows) { return rows <= 2; }
constexpr int kPanel = 2;
constexpr int kPanelRows = 3;
constexpr int kDeltaPanel = 2;

struct Half {
  __m256 v;
};
ISA_INLINE Half fma(Half a, Half b, Half c) { return {_mm256_fmadd_ps(a.v, b.v, c.v)}; }
// The odd and the even ones of eight pairs of bf16.
ISA_INLINE Half odd_of(Half words) {
  return {_mm256_and_ps(words.v, _mm256_castsi256_ps(_mm256_set1_epi32(-0x10000)))};
}
ISA_INLINE Half even_of(Half words) {
  return {_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_castps_si256(words.v), 16))};
}

struct Part {
  using Vector = Half;
  static constexpr int kLanes = 8;
  ISA_INLINE static Half zero() { return {_mm256_setzero_ps()}; }
  ISA_INLINE static Half get(const float* p) { return {_mm256_loadu_ps(p)}; }
  ISA_INLINE static Half get_raw(const void* p) {
    return {_mm256_castsi256_ps(_mm256_loadu_si256(static_cast<const __m256i*>(p)))};
  }
  ISA_INLINE static Half get_n(const float* p, int64_t n) {
    return {_mm256_maskload_ps(p, mask_of(n, 0))};
  }
  ISA_INLINE static Half get_bf16(const void* p) {
    const __m128i words = _mm_loadu_si128(static_cast<const __m128i*>(p));
    return {_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(words), 16))};
  }
  ISA_INLINE static Half get_bf16_n(const void* p, int64_t n) { return {load_bf16_n(p, n).lo}; }
  ISA_INLINE static Half get_f16(const void* p) {
    return {_mm256_cvtph_ps(_mm_loadu_si128(static_cast<const __m128i*>(p)))};
  }
  ISA_INLINE static Half get_f16_n(const void* p, int64_t n) { return {load_f16_n(p, n).lo}; }
  ISA_INLINE static void put(float* p, Half a) { _mm256_storeu_ps(p, a.v); }
};
