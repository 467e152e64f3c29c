// Packed weights (packed.h) -> the panel that the integer product reads: unsigned codes, one byte
// each, and float scales of 16 rows. One format per struct; it says which kind of panel it makes.
// About 3 vector operations per 64 codes of four bits, 5 with high bits, and 10 per 16 scales; the
// panel (at most 6 KiB) stays in the first-level cache.

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

// Bits [kBits * (s % n), ..) of every byte of step s's line, moved to bit kTo; n steps to a line.
template <int kBits, int kTo>
ISA_INLINE I16x plane_bits(const uint8_t* plane, int s) {
  constexpr int kPerLine = 8 / kBits;
  const uint8_t* at = plane + 64 * (s / kPerLine);
  const I16x line = bits(load_raw(at));
  if constexpr (kBits == 8) {
    return line;
  } else {
    const int from = kBits * (s % kPerLine);
    const I16x moved = from > kTo   ? shift_right(line, from - kTo)
                       : from < kTo ? shift_left(line, kTo - from)
                                    : line;
    constexpr int kByte = ((1 << kBits) - 1) << kTo;
    return bit_and(moved, splat_i(kByte * 0x01010101));
  }
}

// The codes of all steps, made by of_step(block's codes, step in the block).
template <int kBits, class OfStep>
ISA_INLINE void unpack_codes(const uint8_t* p, int blocks, Panel& panel, OfStep of_step) {
  uint8_t* out = panel.code;
  for (int b = 0; b < blocks; ++b, p += 64 * kBits) {
    ISA_UNROLL
    for (int s = 0; s < kBlockSteps; ++s, out += 64) store_bytes(out, of_step(p, s));
  }
}

template <int kLow, int kHigh>
ISA_INLINE void unpack_planes(const uint8_t* p, int blocks, Panel& panel, int32_t add_to_each = 0) {
  unpack_codes<kLow + kHigh>(p, blocks, panel, [&](const uint8_t* block, int s) {
    I16x code = plane_bits<kLow, 0>(block, s);
    if constexpr (kHigh > 0) code = bit_or(code, plane_bits<kHigh, kLow>(block + 64 * kLow, s));
    return add_to_each == 0 ? code : add(code, splat_i(add_to_each * 0x01010101));
  });
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
ISA_INLINE void unpack_levels(const uint8_t* p, int blocks, Panel& panel,
                              const std::array<uint8_t, 16>& levels) {
  unpack_codes<4>(p, blocks, panel, [&](const uint8_t* block, int s) {
    return lookup_bytes(levels.data(), plane_bits<4, 0>(block, s));
  });
}

// One half per row and block.
ISA_INLINE void unpack_halves(const uint8_t* halves, int blocks, float* out) {
  for (int b = 0; b < blocks; ++b) store(out + 16 * b, load_f16(halves + 32 * b));
}

struct PackedQ8_0 {
  using Kind = PanelKind<32, false, 128, 255>;
  ISA_INLINE static void unpack(const uint8_t* p, int blocks, Panel& panel) {
    unpack_planes<8, 0>(p, blocks, panel);
    unpack_halves(p + 512 * blocks, blocks, panel.scale);
  }
};

// Four or five bits around a middle: the stored code is above the true one by 8 or 16.
template <int kHigh>
struct PackedSymmetric {
  using Kind = PanelKind<32, false, 16, 31>;
  ISA_INLINE static void unpack(const uint8_t* p, int blocks, Panel& panel) {
    unpack_planes<4, kHigh>(p, blocks, panel, kHigh == 0 ? 8 : 0);
    unpack_halves(p + 64 * (4 + kHigh) * blocks, blocks, panel.scale);
  }
};

template <int kHigh>
struct PackedAffine {
  using Kind = PanelKind<32, true, 0, kHigh == 0 ? 15 : 31>;
  ISA_INLINE static void unpack(const uint8_t* p, int blocks, Panel& panel) {
    unpack_planes<4, kHigh>(p, blocks, panel);
    const uint8_t* scales = p + 64 * (4 + kHigh) * blocks;
    unpack_halves(scales, blocks, panel.scale);
    unpack_halves(scales + 32 * blocks, blocks, panel.offset);
  }
};

struct PackedIQ4NL {
  using Kind = PackedQ8_0::Kind;
  ISA_INLINE static void unpack(const uint8_t* p, int blocks, Panel& panel) {
    unpack_levels(p, blocks, panel, kIq4Above);
    unpack_halves(p + 256 * blocks, blocks, panel.scale);
  }
};

struct PackedIQ4XS {
  using Kind = PackedQ8_0::Kind;
  ISA_INLINE static void unpack(const uint8_t* p, int blocks, Panel& panel) {
    unpack_levels(p, blocks, panel, kIq4Above);
    const uint8_t* scales = p + 256 * blocks;
    const F16x d = load_f16(scales);
    for (int b = 0; b < blocks; ++b) {
      const I16x lows = load_u8(scales + 64 + 16 * (b / 2));
      const I16x low = bit_and(shift_right(lows, 4 * (b % 2)), splat_i(15));
      const I16x highs = load_u8(scales + 32 + 16 * (b / 4));
      const I16x high = bit_and(shift_right(highs, 2 * (b % 4)), splat_i(3));
      const I16x scale = sub(bit_or(low, shift_left(high, 4)), splat_i(32));
      store(panel.scale + 16 * b, mul(d, to_float(scale)));
    }
  }
};

struct PackedMXFP4 {
  using Kind = PanelKind<32, false, 16, 31>;
  ISA_INLINE static void unpack(const uint8_t* p, int blocks, Panel& panel) {
    unpack_levels(p, blocks, panel, kFp4Above);
    for (int b = 0; b < blocks; ++b) {
      // 2^(e - 128): the exponent field is e - 1, below 1 a subnormal.
      const I16x e = load_u8(p + 256 * blocks + 16 * b);
      const F16x normal = from_bits(shift_left(sub(e, splat_i(1)), 23));
      const F16x tiny = mul(splat(0x1p-128F), add(to_float(e), splat(1.0F)));
      store(panel.scale + 16 * b, select(less(to_float(e), splat(2.0F)), tiny, normal));
    }
  }
};

// Q4_K and Q5_K.
template <int kHigh>
struct PackedQ45K {
  using Kind = PanelKind<32, true, 0, kHigh == 0 ? 15 : 31>;

  ISA_INLINE static F16x times_field(F16x d, const I16x (&lines)[3], int field) {
    if (field < 15) {
      return mul(d, to_float(bit_and(shift_right(lines[field / 5], 6 * (field % 5)), splat_i(63))));
    }
    const I16x low = shift_right(lines[0], 30);
    const I16x middle = shift_left(shift_right(lines[1], 30), 2);
    const I16x high = shift_left(shift_right(lines[2], 30), 4);
    return mul(d, to_float(bit_or(bit_or(low, middle), high)));
  }

  ISA_INLINE static void unpack(const uint8_t* p, int blocks, Panel& panel) {
    unpack_planes<4, kHigh>(p, blocks, panel);
    const uint8_t* scales = p + 64 * (4 + kHigh) * kPanelBlocks;
    const F16x d = load_f16(scales);
    const F16x minus_dmin = load_f16(scales + 32);
    const I16x lines[3] = {bits(load_raw(scales + 64)), bits(load_raw(scales + 128)),
                           bits(load_raw(scales + 192))};
    ISA_UNROLL
    for (int b = 0; b < kPanelBlocks; ++b) {
      store(panel.scale + 16 * b, times_field(d, lines, b));
      store(panel.offset + 16 * b, times_field(minus_dmin, lines, 8 + b));
    }
  }
};

struct PackedQ6K {
  using Kind = PanelKind<16, false, 32, 63>;
  ISA_INLINE static void unpack(const uint8_t* p, int blocks, Panel& panel) {
    unpack_planes<4, 2>(p, blocks, panel);
    const uint8_t* scales = p + 64 * 6 * kPanelBlocks;
    const F16x d = load_f16(scales);
    for (int s = 0; s < 16; ++s) {
      const auto* bytes = reinterpret_cast<const int8_t*>(scales + 32 + 16 * s);
      store(panel.scale + 16 * s, mul(d, to_float(load_i8(bytes))));
    }
  }
};

struct PackedQ3K {
  using Kind = PackedQ6K::Kind;
  ISA_INLINE static void unpack(const uint8_t* p, int blocks, Panel& panel) {
    unpack_planes<2, 1>(p, blocks, panel, 32 - 4);
    const uint8_t* scales = p + 64 * 3 * kPanelBlocks;
    const F16x d = load_f16(scales);
    for (int s = 0; s < 16; ++s) {
      const I16x low = load_u8(scales + 32 + 16 * (s % 8));
      const I16x high = load_u8(scales + 32 + 16 * (8 + s % 4));
      const I16x scale = bit_or(bit_and(shift_right(low, s / 8 * 4), splat_i(15)),
                                shift_left(bit_and(shift_right(high, s / 4 * 2), splat_i(3)), 4));
      store(panel.scale + 16 * s, mul(d, to_float(sub(scale, splat_i(32)))));
    }
  }
};

struct PackedQ2K {
  using Kind = PanelKind<16, true, 0, 3>;
  ISA_INLINE static void unpack(const uint8_t* p, int blocks, Panel& panel) {
    unpack_planes<2, 0>(p, blocks, panel);
    const uint8_t* scales = p + 64 * 2 * kPanelBlocks;
    const F16x d = load_f16(scales);
    const F16x minus_dmin = load_f16(scales + 32);
    for (int s = 0; s < 16; ++s) {
      const I16x both = load_u8(scales + 64 + 16 * s);
      store(panel.scale + 16 * s, mul(d, to_float(bit_and(both, splat_i(15)))));
      store(panel.offset + 16 * s, mul(minus_dmin, to_float(shift_right(both, 4))));
    }
  }
};
