// As dot_scalar.inl.h, eight rows of weights at a time: products of bytes are added in pairs to 16
// bits, and stay there as long as the largest codes cannot overflow (two times 127 times the
// largest code each). Codes of eight bits go signed: |w| times x with w's sign.
struct Lanes {
  static constexpr int kCount = 8;
  static constexpr int kTileRows = 4;
  static constexpr int kRowsDirectly = 0;
  template <class Kind>
  static constexpr int kRowsAtOnce = 4;
  struct Int {
    __m256i v;
  };
  using Float = Half;
  ISA_INLINE static Float get(const float* p) { return {_mm256_loadu_ps(p)}; }
  ISA_INLINE static void put(float* p, Float a) { _mm256_storeu_ps(p, a.v); }
  ISA_INLINE static Float broadcast(float x) { return {_mm256_set1_ps(x)}; }
  ISA_INLINE static Float from_int(Int a) { return {_mm256_cvtepi32_ps(a.v)}; }

  using Codes = __m256i;
  ISA_INLINE static Codes codes_at(const uint8_t* p) {
    return _mm256_load_si256(reinterpret_cast<const __m256i*>(p));
  }
  template <int kLane>
  ISA_INLINE static Codes part(I16x a) {
    return kLane == 0 ? a.lo : a.hi;
  }
  template <int kLane>
  ISA_INLINE static Float part(F16x a) {
    return {kLane == 0 ? a.lo : a.hi};
  }

  template <class Kind, int Rows, int Tile, class CodesOf>
  ISA_INLINE static void dot(CodesOf codes, const int32_t* x, const int32_t* minus_sum,
                             Int (&n)[Rows]) {
    constexpr int kSteps = Kind::kSub / 4;
    constexpr bool kSigned = Kind::kMax > 128;
    constexpr int kRun = kSigned ? 1 : std::min(kSteps, 32767 / (2 * 127 * Kind::kMax));
    const __m256i ones = _mm256_set1_epi16(1);
    ISA_UNROLL
    for (int c = 0; c < Rows; ++c) {
      n[c].v = _mm256_setzero_si256();
      if constexpr (!kSigned && Kind::kZero > 0) {
        constexpr int kShift = std::countr_zero(static_cast<unsigned>(Kind::kZero));
        n[c].v = _mm256_slli_epi32(_mm256_set1_epi32(minus_sum[c]), kShift);
      }
    }
    ISA_UNROLL
    for (int run = 0; run < kSteps; run += kRun) {
      __m256i pairs[Rows];
      ISA_UNROLL
      for (int s = run; s < run + kRun; ++s) {
        __m256i w = codes(s);
        if constexpr (kSigned) w = _mm256_xor_si256(w, _mm256_set1_epi8(-128));
        ISA_UNROLL
        for (int c = 0; c < Rows; ++c) {
          const __m256i four = _mm256_set1_epi32(x[s * Tile + c]);
          const __m256i product =
              kSigned ? _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(four, w))
                      : _mm256_maddubs_epi16(w, four);
          pairs[c] = s == run ? product : _mm256_add_epi16(pairs[c], product);
        }
      }
      ISA_UNROLL
      for (int c = 0; c < Rows; ++c) {
        n[c].v = _mm256_add_epi32(n[c].v, _mm256_madd_epi16(pairs[c], ones));
      }
    }
  }
};
ISA_INLINE Half mul(Half a, Half b) { return {_mm256_mul_ps(a.v, b.v)}; }
