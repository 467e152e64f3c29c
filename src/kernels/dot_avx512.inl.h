// As dot_scalar.inl.h: unsigned codes of 16 rows times four broadcast codes of an input row in one
// instruction. Twelve rows keep twelve sums of integers and twelve of floats in registers.
struct Lanes {
  static constexpr int kCount = 16;
  static constexpr int kTileRows = 12;
  static constexpr int kRowsDirectly = 16;
  template <class Kind>
  static constexpr int kRowsAtOnce = Kind::kSub == 32 ? 12 : 8;
  using Int = I16x;
  using Float = F16x;
  using Codes = I16x;
  ISA_INLINE static Float get(const float* p) { return load(p); }
  ISA_INLINE static void put(float* p, Float a) { store(p, a); }
  ISA_INLINE static Float broadcast(float x) { return splat(x); }
  ISA_INLINE static Float from_int(Int a) { return to_float(a); }

  ISA_INLINE static Codes codes_at(const uint8_t* p) { return {_mm512_load_si512(p)}; }
  template <int kLane, class Vector>
  ISA_INLINE static Vector part(Vector a) {
    return a;
  }

  template <class Kind, int Rows, int Tile, class CodesOf>
  ISA_INLINE static void dot(CodesOf codes, const int32_t* x, const int32_t* minus_sum,
                             Int (&n)[Rows]) {
    ISA_UNROLL
    for (int c = 0; c < Rows; ++c) {
      n[c] = splat_i(0);
      if constexpr (Kind::kZero > 0) {
        constexpr int kShift = std::countr_zero(static_cast<unsigned>(Kind::kZero));
        n[c].v = _mm512_slli_epi32(_mm512_set1_epi32(minus_sum[c]), kShift);
      }
    }
    ISA_UNROLL
    for (int s = 0; s < Kind::kSub / 4; ++s) {
      const __m512i w = codes(s).v;
      ISA_UNROLL
      for (int c = 0; c < Rows; ++c) {
        n[c].v = _mm512_dpbusd_epi32(n[c].v, w, _mm512_set1_epi32(x[s * Tile + c]));
      }
    }
  }
};
