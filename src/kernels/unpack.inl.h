// Packed weights (packed.h), one panel of 16 rows at a time: unsigned codes, one byte each, and
// float scales of 16 rows. One format per struct; it says which kind of panel it holds and reads it
// step by step: codes(block, step) are the four columns of a step of 16 rows, scale(sub) and
// offset(sub) those of a sub-block. It is made from where the panel's scales and planes of codes
// begin. Whoever has few rows multiplies what it reads at once; whoever
// has many unpacks all into a Panel first. About 3 vector operations per 64 codes of four bits, 5
// with high bits, and 5 per 16 scales; a Panel (at most 6 KiB) stays in the first-level cache.

// A panel's arithmetic: columns per scale; whether there are offsets; what the stored codes exceed
// the true ones by (0, or a power of two); the largest stored code. Types with equal kinds share
// the product's code, so small ranges are shifted into those of larger ones.
template <int kColsPerScale, bool kWithOffset, int kAbove, int kLargest>
struct PanelKind {
  static constexpr int kSub = kColsPerScale;
  static constexpr bool kOffset = kWithOffset;
  static constexpr int kZero = kAbove;
  static constexpr int kMax = kLargest;
};

struct alignas(64) Panel {
  uint8_t code[64 * 64];  // [steps][16 rows][4 columns]
  float scale[16 * 16];   // [sub-blocks][16 rows]
  float offset[16 * 16];
};

// The bits of step s in every byte of a line, moved to bit kTo.
template <int kBits, int kTo>
ISA_INLINE I16x line_bits(const uint8_t* at, int s) {
  const I16x line = bits(load_raw(at));
  if constexpr (kBits == 8) {
    return line;
  } else {
    const int from = kBits * (s % (8 / kBits));
    const I16x moved = from > kTo   ? shift_right(line, from - kTo)
                       : from < kTo ? shift_left(line, kTo - from)
                                    : line;
    constexpr int kByte = ((1 << kBits) - 1) << kTo;
    return bit_and(moved, splat_i(kByte * 0x01010101));
  }
}

// Step s of block b.
template <int kLow, int kHigh>
ISA_INLINE I16x plane_codes(const uint8_t* p, int b, int s) {
  constexpr PackedCodes kForm = {kLow, kHigh};
  const uint8_t* block = p + code_bytes(kForm) * b;
  const I16x low = line_bits<kLow, 0>(block + low_line(kForm, s), s);
  if constexpr (kHigh == 0) {
    return low;
  } else {
    return bit_or(low, line_bits<kHigh, kLow>(block + high_line(kForm, s), s));
  }
}
ISA_INLINE I16x add_to_each(I16x codes, int32_t value) {
  return add(codes, splat_i(value * 0x01010101));
}

// Levels made unsigned.
constexpr std::array<uint8_t, 16> levels_above(const std::array<int8_t, 16>& levels, int above) {
  std::array<uint8_t, 16> out{};
  for (size_t i = 0; i < 16; ++i) out[i] = static_cast<uint8_t>(levels[i] + above);
  return out;
}
constexpr std::array<uint8_t, 16> kIq4Above = levels_above(codec::kIq4Levels, 128);
constexpr std::array<uint8_t, 16> kFp4Above = levels_above(codec::kFp4Levels, 16);

// Nibbles as indices of 16 levels.
ISA_INLINE I16x level_codes(const uint8_t* p, int b, int s, const std::array<uint8_t, 16>& levels) {
  return lookup_bytes(levels.data(), plane_codes<4, 0>(p, b, s));
}

struct PackedQ8_0 {
  using Kind = PanelKind<32, false, 128, 255>;
  ISA_INLINE PackedQ8_0(const uint8_t* scales, const uint8_t* codes, int /*blocks*/)
      : planes(codes), halves(scales) {}
  ISA_INLINE I16x codes(int b, int s) const { return plane_codes<8, 0>(planes, b, s); }
  ISA_INLINE F16x scale(int b) const { return load_f16(halves + 32 * b); }
  const uint8_t *planes, *halves;
};

// Four or five bits around a middle: the stored code is above the true one by 8 or 16.
template <int kHigh>
struct PackedSymmetric {
  using Kind = PanelKind<32, false, 16, 31>;
  ISA_INLINE PackedSymmetric(const uint8_t* scales, const uint8_t* codes, int /*blocks*/)
      : planes(codes), halves(scales) {}
  ISA_INLINE I16x codes(int b, int s) const {
    const I16x codes = plane_codes<4, kHigh>(planes, b, s);
    return kHigh == 0 ? add_to_each(codes, 8) : codes;
  }
  ISA_INLINE F16x scale(int b) const { return load_f16(halves + 32 * b); }
  const uint8_t *planes, *halves;
};

template <int kHigh>
struct PackedAffine {
  using Kind = PanelKind<32, true, 0, kHigh == 0 ? 15 : 31>;
  ISA_INLINE PackedAffine(const uint8_t* halves, const uint8_t* codes, int blocks)
      : planes(codes), scales(halves), offsets(halves + 32 * blocks) {}
  ISA_INLINE I16x codes(int b, int s) const { return plane_codes<4, kHigh>(planes, b, s); }
  ISA_INLINE F16x scale(int b) const { return load_f16(scales + 32 * b); }
  ISA_INLINE F16x offset(int b) const { return load_f16(offsets + 32 * b); }
  const uint8_t *planes, *scales, *offsets;
};

struct PackedIQ4NL {
  using Kind = PackedQ8_0::Kind;
  ISA_INLINE PackedIQ4NL(const uint8_t* scales, const uint8_t* codes, int /*blocks*/)
      : planes(codes), halves(scales) {}
  ISA_INLINE I16x codes(int b, int s) const { return level_codes(planes, b, s, kIq4Above); }
  ISA_INLINE F16x scale(int b) const { return load_f16(halves + 32 * b); }
  const uint8_t *planes, *halves;
};

struct PackedIQ4XS {
  using Kind = PackedQ8_0::Kind;
  ISA_INLINE PackedIQ4XS(const uint8_t* fields, const uint8_t* codes, int /*blocks*/)
      : planes(codes), scales(fields), d(load_f16(fields)) {}
  ISA_INLINE I16x codes(int b, int s) const { return level_codes(planes, b, s, kIq4Above); }
  ISA_INLINE F16x scale(int b) const {
    const I16x lows = load_u8(scales + 64 + 16 * (b / 2));
    const I16x low = bit_and(shift_right(lows, 4 * (b % 2)), splat_i(15));
    const I16x highs = load_u8(scales + 32 + 16 * (b / 4));
    const I16x high = bit_and(shift_right(highs, 2 * (b % 4)), splat_i(3));
    return mul(d, to_float(sub(bit_or(low, shift_left(high, 4)), splat_i(32))));
  }
  const uint8_t *planes, *scales;
  F16x d;
};

struct PackedMXFP4 {
  using Kind = PanelKind<32, false, 16, 31>;
  ISA_INLINE PackedMXFP4(const uint8_t* scales, const uint8_t* codes, int /*blocks*/)
      : planes(codes), exponents(scales) {}
  ISA_INLINE I16x codes(int b, int s) const { return level_codes(planes, b, s, kFp4Above); }
  // 2^(e - 128): the exponent field is e - 1, below 1 a subnormal.
  ISA_INLINE F16x scale(int b) const {
    const I16x e = load_u8(exponents + 16 * b);
    const F16x normal = from_bits(shift_left(sub(e, splat_i(1)), 23));
    const F16x tiny = mul(splat(0x1p-128F), add(to_float(e), splat(1.0F)));
    return select(less(to_float(e), splat(2.0F)), tiny, normal);
  }
  const uint8_t *planes, *exponents;
};

// Q4_K and Q5_K.
template <int kHigh>
struct PackedQ45K {
  using Kind = PanelKind<32, true, 0, kHigh == 0 ? 15 : 31>;
  ISA_INLINE PackedQ45K(const uint8_t* scales, const uint8_t* codes, int /*blocks*/)
      : planes(codes), d(load_f16(scales)), minus_dmin(load_f16(scales + 32)) {
    for (int i = 0; i < 3; ++i) lines[i] = bits(load_raw(scales + 64 * (i + 1)));
  }
  ISA_INLINE I16x codes(int b, int s) const { return plane_codes<4, kHigh>(planes, b, s); }
  ISA_INLINE F16x scale(int b) const { return times_field(d, b); }
  ISA_INLINE F16x offset(int b) const { return times_field(minus_dmin, 8 + b); }

  ISA_INLINE F16x times_field(F16x factor, int field) const {
    if (field < 15) {
      const I16x moved = shift_right(lines[field / 5], 6 * (field % 5));
      return mul(factor, to_float(bit_and(moved, splat_i(63))));
    }
    const I16x low = shift_right(lines[0], 30);
    const I16x middle = shift_left(shift_right(lines[1], 30), 2);
    const I16x high = shift_left(shift_right(lines[2], 30), 4);
    return mul(factor, to_float(bit_or(bit_or(low, middle), high)));
  }
  const uint8_t* planes;
  F16x d, minus_dmin;
  I16x lines[3];
};

struct PackedQ6K {
  using Kind = PanelKind<16, false, 32, 63>;
  ISA_INLINE PackedQ6K(const uint8_t* fields, const uint8_t* codes, int /*blocks*/)
      : planes(codes), scales(fields), d(load_f16(fields)) {}
  ISA_INLINE I16x codes(int b, int s) const { return plane_codes<4, 2>(planes, b, s); }
  ISA_INLINE F16x scale(int sub) const {
    return mul(d, to_float(load_i8(reinterpret_cast<const int8_t*>(scales + 32 + 16 * sub))));
  }
  const uint8_t *planes, *scales;
  F16x d;
};

struct PackedQ3K {
  using Kind = PackedQ6K::Kind;
  ISA_INLINE PackedQ3K(const uint8_t* fields, const uint8_t* codes, int /*blocks*/)
      : planes(codes), scales(fields), d(load_f16(fields)) {}
  ISA_INLINE I16x codes(int b, int s) const {
    return add_to_each(plane_codes<2, 1>(planes, b, s), 32 - 4);
  }
  ISA_INLINE F16x scale(int sub) const {
    const I16x low = load_u8(scales + 32 + 16 * (sub % 8));
    const I16x high = load_u8(scales + 32 + 16 * (8 + sub % 4));
    const I16x scale = bit_or(bit_and(shift_right(low, sub / 8 * 4), splat_i(15)),
                              shift_left(bit_and(shift_right(high, sub / 4 * 2), splat_i(3)), 4));
    return mul(d, to_float(add(scale, splat_i(-32))));
  }
  const uint8_t *planes, *scales;
  F16x d;
};

struct PackedQ2K {
  using Kind = PanelKind<16, true, 0, 3>;
  ISA_INLINE PackedQ2K(const uint8_t* fields, const uint8_t* codes, int /*blocks*/)
      : planes(codes), scales(fields), d(load_f16(fields)), minus_dmin(load_f16(fields + 32)) {}
  ISA_INLINE I16x codes(int b, int s) const { return plane_codes<2, 0>(planes, b, s); }
  ISA_INLINE F16x scale(int sub) const {
    return mul(d, to_float(bit_and(load_u8(scales + 64 + 16 * sub), splat_i(15))));
  }
  ISA_INLINE F16x offset(int sub) const {
    return mul(minus_dmin, to_float(shift_right(load_u8(scales + 64 + 16 * sub), 4)));
  }
  const uint8_t *planes, *scales;
  F16x d, minus_dmin;
};

template <class Format>
ISA_INLINE void unpack(const Format& format, int blocks, Panel& panel) {
  constexpr int kSubs = 32 / Format::Kind::kSub;
  ISA_UNROLL
  for (int i = 0; i < kSubs * kPanelBlocks; ++i) {
    if (i == kSubs * blocks) break;
    store(panel.scale + 16 * i, format.scale(i));
    if constexpr (Format::Kind::kOffset) store(panel.offset + 16 * i, format.offset(i));
  }
  for (int b = 0; b < blocks; ++b) {
    ISA_UNROLL
    for (int s = 0; s < kBlockSteps; ++s) {
      store_bytes(panel.code + 64 * (kBlockSteps * b + s), format.codes(b, s));
    }
  }
}
