// The integer product's vectors: the rows of a group that are multiplied together, and the rows of
// inputs in a tile (and of those, how many at once); up to how many rows it is faster not to unpack
// the weights first. The other dot_*.inl.h give the same names; see
// gemm_i8.inl.h for their use.
struct Lanes {
  static constexpr int kCount = 16;
  static constexpr int kTileRows = 2;
  static constexpr int kRowsDirectly = 16;
  template <class Kind>
  static constexpr int kRowsAtOnce = 2;
  using Int = I16x;
  using Float = F16x;
  using Codes = I16x;
  ISA_INLINE static Float get(const float* p) { return load(p); }
  ISA_INLINE static void put(float* p, Float a) { store(p, a); }
  ISA_INLINE static Float broadcast(float x) { return splat(x); }
  ISA_INLINE static Float from_int(Int a) { return to_float(a); }

  // The codes of kCount rows of a step, four to a row, at p; and the lanes from kLane on of a
  // vector of 16, of codes or floats.
  ISA_INLINE static Codes codes_at(const uint8_t* p) { return bits(load_raw(p)); }
  template <int kLane, class Vector>
  ISA_INLINE static Vector part(Vector a) {
    return a;
  }

  // n[c], for Rows rows of a tile of Tile: the exact sums over kSub columns of the true codes times
  // the row's, whose sum is -minus_sum[c]. codes(s): those of step s.
  template <class Kind, int Rows, int Tile, class CodesOf>
  ISA_INLINE static void dot(CodesOf codes, const int32_t* x, const int32_t* minus_sum,
                             Int (&n)[Rows]) {
    for (int c = 0; c < Rows; ++c) {
      for (int l = 0; l < 16; ++l) n[c].lane[l] = minus_sum[c] * Kind::kZero;
    }
    for (int s = 0; s < Kind::kSub / 4; ++s) {
      uint8_t code[64];
      const Codes lines = codes(s);
      std::memcpy(code, lines.lane, sizeof code);
      for (int c = 0; c < Rows; ++c) {
        int8_t four[4];
        std::memcpy(four, x + s * Tile + c, sizeof four);
        for (int i = 0; i < 64; ++i) n[c].lane[i / 4] += code[i] * four[i % 4];
      }
    }
  }
};
