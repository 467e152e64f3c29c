// The vocabulary on plain C++: the definition of what every other vec_*.h computes. Included inside
// an ISA region's namespace.
//
//   F16x  16 float lanes        I16x  16 lanes of 32 bits        M16x  16 truth values
//
// All operations are lane by lane and IEEE single precision in round-to-nearest-even; fma rounds
// once. min and max return the second operand if either is a NaN. The sum of the lanes adds l and
// l+8, then l+4, l+2, l+1. Which NaN (sign, payload) results from several is not fixed.

struct F16x {
  float lane[16];
};
struct I16x {
  int32_t lane[16];
};
struct M16x {
  bool lane[16];
};

template <class Function>
ISA_INLINE F16x make_f(Function f) {
  F16x r;
  for (int l = 0; l < 16; ++l) r.lane[l] = f(l);
  return r;
}

template <class Function>
ISA_INLINE I16x make_i(Function f) {
  I16x r;
  for (int l = 0; l < 16; ++l) r.lane[l] = f(l);
  return r;
}

template <class Function>
ISA_INLINE M16x make_m(Function f) {
  M16x r;
  for (int l = 0; l < 16; ++l) r.lane[l] = f(l);
  return r;
}

// Memory. The _n forms touch only the first n (0..16) elements; other lanes become `fill`.
ISA_INLINE F16x splat(float x) {
  return make_f([&](int) { return x; });
}
ISA_INLINE F16x load(const float* p) {
  return make_f([&](int l) { return p[l]; });
}
// 64 bytes of any type.
ISA_INLINE F16x load_raw(const void* p) {
  F16x out;
  std::memcpy(out.lane, p, sizeof out.lane);
  return out;
}
ISA_INLINE F16x load_n(const float* p, int64_t n, float fill = 0) {
  return make_f([&](int l) { return l < n ? p[l] : fill; });
}
// Lane l from p[l * stride].
ISA_INLINE F16x load_strided(const float* p, int64_t stride) {
  return make_f([&](int l) { return p[l * stride]; });
}
ISA_INLINE F16x load_strided_n(const float* p, int64_t stride, int64_t n) {
  return make_f([&](int l) { return l < n ? p[l * stride] : 0; });
}
// Lane l of out[j] from p[4 * l + j]; reads 64 elements.
ISA_INLINE void load_interleaved(const float* p, F16x (&out)[4]) {
  for (int j = 0; j < 4; ++j) out[j] = load_strided(p + j, 4);
}
ISA_INLINE void store(float* p, F16x a) {
  for (int l = 0; l < 16; ++l) p[l] = a.lane[l];
}
ISA_INLINE void store_n(float* p, int64_t n, F16x a) {
  for (int l = 0; l < n; ++l) p[l] = a.lane[l];
}
ISA_INLINE void store(int32_t* p, I16x a) {
  for (int l = 0; l < 16; ++l) p[l] = a.lane[l];
}

// Arithmetic.
ISA_INLINE F16x add(F16x a, F16x b) {
  return make_f([&](int l) { return a.lane[l] + b.lane[l]; });
}
ISA_INLINE F16x sub(F16x a, F16x b) {
  return make_f([&](int l) { return a.lane[l] - b.lane[l]; });
}
ISA_INLINE F16x mul(F16x a, F16x b) {
  return make_f([&](int l) { return a.lane[l] * b.lane[l]; });
}
ISA_INLINE F16x div(F16x a, F16x b) {
  return make_f([&](int l) { return a.lane[l] / b.lane[l]; });
}
ISA_INLINE F16x fma(F16x a, F16x b, F16x c) {  // a * b + c
  return make_f([&](int l) { return std::fma(a.lane[l], b.lane[l], c.lane[l]); });
}
ISA_INLINE F16x fnma(F16x a, F16x b, F16x c) {  // c - a * b
  return make_f([&](int l) { return std::fma(-a.lane[l], b.lane[l], c.lane[l]); });
}
ISA_INLINE F16x min(F16x a, F16x b) {
  return make_f([&](int l) { return a.lane[l] < b.lane[l] ? a.lane[l] : b.lane[l]; });
}
ISA_INLINE F16x max(F16x a, F16x b) {
  return make_f([&](int l) { return a.lane[l] > b.lane[l] ? a.lane[l] : b.lane[l]; });
}

ISA_INLINE F16x sqrt(F16x a) {
  return make_f([&](int l) { return std::sqrt(a.lane[l]); });
}
ISA_INLINE F16x abs(F16x a) {
  return make_f([&](int l) { return std::fabs(a.lane[l]); });
}

// Comparison and choice.
ISA_INLINE M16x less(F16x a, F16x b) {
  return make_m([&](int l) { return a.lane[l] < b.lane[l]; });
}
ISA_INLINE M16x is_nan(F16x a) {
  return make_m([&](int l) { return a.lane[l] != a.lane[l]; });
}
ISA_INLINE M16x first(int64_t n) {  // true in lanes below n (0..16)
  return make_m([&](int l) { return l < n; });
}
// Bit l is lane l.
ISA_INLINE uint32_t lane_bits(M16x m) {
  uint32_t bits_set = 0;
  for (int l = 0; l < 16; ++l) bits_set |= static_cast<uint32_t>(m.lane[l]) << l;
  return bits_set;
}
ISA_INLINE F16x select(M16x m, F16x yes, F16x no) {
  return make_f([&](int l) { return m.lane[l] ? yes.lane[l] : no.lane[l]; });
}
ISA_INLINE I16x select(M16x m, I16x yes, I16x no) {
  return make_i([&](int l) { return m.lane[l] ? yes.lane[l] : no.lane[l]; });
}

// Integer lanes: wrapping addition, logical shifts by a constant or variable count 0..31.
ISA_INLINE I16x splat_i(int32_t x) {
  return make_i([&](int) { return x; });
}
ISA_INLINE I16x bits(F16x a) {
  return make_i([&](int l) { return std::bit_cast<int32_t>(a.lane[l]); });
}
ISA_INLINE F16x from_bits(I16x a) {
  return make_f([&](int l) { return std::bit_cast<float>(a.lane[l]); });
}
ISA_INLINE F16x to_float(I16x a) {
  return make_f([&](int l) { return static_cast<float>(a.lane[l]); });
}
// Nearest integer, ties to even, for |a| < 2^31.
ISA_INLINE I16x to_int(F16x a) {
  return make_i([&](int l) { return static_cast<int32_t>(std::nearbyint(a.lane[l])); });
}
// Lane l is table[index[l] modulo 16].
ISA_INLINE F16x lookup16(F16x table, I16x index) {
  return make_f([&](int l) { return table.lane[index.lane[l] & 15]; });
}
// Lane l is table[index[l]]; one element after the last may be read.
ISA_INLINE I16x lookup_u16(const uint16_t* table, I16x index) {
  return make_i([&](int l) { return static_cast<int32_t>(table[index.lane[l]]); });
}
ISA_INLINE I16x add(I16x a, I16x b) {
  return make_i([&](int l) {
    return static_cast<int32_t>(static_cast<uint32_t>(a.lane[l]) +
                                static_cast<uint32_t>(b.lane[l]));
  });
}
ISA_INLINE I16x sub(I16x a, I16x b) {
  return make_i([&](int l) {
    return static_cast<int32_t>(static_cast<uint32_t>(a.lane[l]) -
                                static_cast<uint32_t>(b.lane[l]));
  });
}
ISA_INLINE I16x bit_and(I16x a, I16x b) {
  return make_i([&](int l) { return a.lane[l] & b.lane[l]; });
}
ISA_INLINE I16x bit_or(I16x a, I16x b) {
  return make_i([&](int l) { return a.lane[l] | b.lane[l]; });
}
ISA_INLINE I16x shift_left(I16x a, int count) {
  return make_i(
      [&](int l) { return static_cast<int32_t>(static_cast<uint32_t>(a.lane[l]) << count); });
}
ISA_INLINE I16x shift_right(I16x a, int count) {
  return make_i(
      [&](int l) { return static_cast<int32_t>(static_cast<uint32_t>(a.lane[l]) >> count); });
}

// 64 bytes as they are, four to a lane, the lowest first (load_raw reads them).
ISA_INLINE void store_bytes(void* p, I16x a) { std::memcpy(p, a.lane, sizeof a.lane); }
// Every byte b of a becomes table[b]; each is below 16.
ISA_INLINE I16x lookup_bytes(const uint8_t* table, I16x a) {
  uint8_t bytes[64];
  store_bytes(bytes, a);
  for (uint8_t& b : bytes) b = table[b];
  I16x r;
  std::memcpy(r.lane, bytes, sizeof r.lane);
  return r;
}
// The lowest byte of each lane.
ISA_INLINE void store_i8(int8_t* p, I16x a) {
  for (int l = 0; l < 16; ++l) p[l] = static_cast<int8_t>(a.lane[l]);
}

// Widening loads of 16 elements; the 16-bit ones from any address.
ISA_INLINE I16x load_u8(const uint8_t* p) {
  return make_i([&](int l) { return static_cast<int32_t>(p[l]); });
}
ISA_INLINE I16x load_i8(const int8_t* p) {
  return make_i([&](int l) { return static_cast<int32_t>(p[l]); });
}
ISA_INLINE uint16_t half_word(const void* p, int index) {
  uint16_t word;
  std::memcpy(&word, static_cast<const char*>(p) + 2 * index, sizeof word);
  return word;
}
ISA_INLINE F16x load_bf16(const void* p) {
  return make_f([&](int l) { return base::bf16_to_f32(half_word(p, l)); });
}
ISA_INLINE F16x load_bf16_n(const void* p, int64_t n) {
  return make_f([&](int l) { return l < n ? base::bf16_to_f32(half_word(p, l)) : 0; });
}
ISA_INLINE F16x load_f16(const void* p) {
  return make_f([&](int l) { return base::f16_to_f32(half_word(p, l)); });
}
ISA_INLINE F16x load_f16_n(const void* p, int64_t n) {
  return make_f([&](int l) { return l < n ? base::f16_to_f32(half_word(p, l)) : 0; });
}

// Across lanes.
ISA_INLINE float sum(F16x a) {
  for (int half = 8; half > 0; half /= 2) {
    for (int l = 0; l < half; ++l) a.lane[l] += a.lane[l + half];
  }
  return a.lane[0];
}
// The sums of four vectors, side by side where that is faster.
ISA_INLINE void sum4(F16x a, F16x b, F16x c, F16x d, float* out) {
  out[0] = sum(a);
  out[1] = sum(b);
  out[2] = sum(c);
  out[3] = sum(d);
}
// The order of comparisons is that of sum.
ISA_INLINE float largest(F16x a) {
  for (int half = 8; half > 0; half /= 2) {
    for (int l = 0; l < half; ++l) {
      a.lane[l] = a.lane[l] > a.lane[l + half] ? a.lane[l] : a.lane[l + half];
    }
  }
  return a.lane[0];
}
ISA_INLINE float first_lane(F16x a) { return a.lane[0]; }
// Of lanes whose sum fits.
ISA_INLINE int32_t sum(I16x a) {
  int32_t total = 0;
  for (const int32_t lane : a.lane) total += lane;
  return total;
}
