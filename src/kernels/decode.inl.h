// Stored bytes -> float, the same bits as codec/ defines: one format per struct, 16 elements per
// step. Per element: half to one byte read (K-quants), 4 bytes written, 3-6 vector operations per
// 16. Bound: the write to the second-level cache. Blocks may start at any address.

ISA_INLINE float half_at(const std::byte* p) {
  uint16_t half;
  std::memcpy(&half, p, sizeof half);
  return base::f16_to_f32(half);
}

ISA_INLINE const uint8_t* bytes_at(const std::byte* block, size_t offset) {
  return reinterpret_cast<const uint8_t*>(block + offset);
}

struct Q8_0Format {
  using Block = codec::BlockQ8_0;
  static constexpr int kElems = 32;
  ISA_INLINE static void decode(const std::byte* block, float* out) {
    const F16x d = splat(half_at(block + offsetof(Block, d)));
    const auto* q = reinterpret_cast<const int8_t*>(block + offsetof(Block, q));
    store(out, mul(d, to_float(load_i8(q))));
    store(out + 16, mul(d, to_float(load_i8(q + 16))));
  }
};

// Q4_K and Q5_K: the latter has a plane of fifth bits.
template <class KBlock, bool kFifthBit>
struct Q45KFormat {
  using Block = KBlock;
  static constexpr int kElems = 256;

  ISA_INLINE static I16x code(const std::byte* block, int group, int half) {
    const uint8_t* q = bytes_at(block, offsetof(Block, q)) + 32 * (group / 2) + 16 * half;
    I16x c = bit_and(shift_right(load_u8(q), group % 2 * 4), splat_i(15));
    if constexpr (kFifthBit) {
      const uint8_t* high = bytes_at(block, offsetof(Block, qh)) + 16 * half;
      const I16x bit = bit_and(shift_right(load_u8(high), group), splat_i(1));
      c = bit_or(c, shift_left(bit, 4));
    }
    return c;
  }

  ISA_INLINE static void decode(const std::byte* block, float* out) {
    const float d = half_at(block + offsetof(Block, d));
    const float dmin = half_at(block + offsetof(Block, dmin));
    const uint8_t* scales = bytes_at(block, offsetof(Block, scales));
    for (int group = 0; group < 8; ++group) {
      const codec::ScaleMin pair = codec::scale_min(scales, group);
      const F16x step = splat(d * static_cast<float>(pair.scale));
      const F16x offset = splat(dmin * static_cast<float>(pair.min));
      for (int half = 0; half < 2; ++half) {
        const F16x c = to_float(code(block, group, half));
        store(out + 32 * group + 16 * half, sub(mul(step, c), offset));
      }
    }
  }
};

struct Q6KFormat {
  using Block = codec::BlockQ6K;
  static constexpr int kElems = 256;
  ISA_INLINE static void decode(const std::byte* block, float* out) {
    const float d = half_at(block + offsetof(Block, d));
    const uint8_t* ql = bytes_at(block, offsetof(Block, ql));
    const uint8_t* qh = bytes_at(block, offsetof(Block, qh));
    const auto* scales = reinterpret_cast<const int8_t*>(block + offsetof(Block, scales));
    for (int s = 0; s < 16; ++s) {
      const int n = s / 8;
      const int r = s % 8 * 16;
      const I16x low = bit_and(shift_right(load_u8(ql + 64 * n + r % 64), r / 64 * 4), splat_i(15));
      const I16x high = bit_and(shift_right(load_u8(qh + 32 * n + r % 32), r / 32 * 2), splat_i(3));
      const I16x code = sub(bit_or(low, shift_left(high, 4)), splat_i(32));
      store(out + 16 * s, mul(splat(d * static_cast<float>(scales[s])), to_float(code)));
    }
  }
};

template <class Format>
void decode_blocks(const std::byte* blocks, int64_t n, float* out) noexcept {
  for (int64_t i = 0; i < n; i += Format::kElems) {
    Format::decode(blocks, out + i);
    blocks += sizeof(typename Format::Block);
  }
}

void decode_bf16(const std::byte* values, int64_t n, float* out) noexcept {
  for_each_piece(n, [&](int64_t i, int64_t count) {
    const std::byte* p = values + 2 * i;
    store_piece(out + i, count, count == 16 ? load_bf16(p) : load_bf16_n(p, count));
  });
}

void decode_f16(const std::byte* values, int64_t n, float* out) noexcept {
  for_each_piece(n, [&](int64_t i, int64_t count) {
    const std::byte* p = values + 2 * i;
    store_piece(out + i, count, count == 16 ? load_f16(p) : load_f16_n(p, count));
  });
}

void decode(tensor::DType type, const std::byte* blocks, int64_t n, float* out) noexcept {
  switch (type) {
    case tensor::DType::f32:
      if (n > 0) std::memcpy(out, blocks, static_cast<size_t>(n) * sizeof(float));
      return;
    case tensor::DType::bf16:
      return decode_bf16(blocks, n, out);
    case tensor::DType::f16:
      return decode_f16(blocks, n, out);
    case tensor::DType::q8_0:
      return decode_blocks<Q8_0Format>(blocks, n, out);
    case tensor::DType::q4_k:
      return decode_blocks<Q45KFormat<codec::BlockQ4K, false>>(blocks, n, out);
    case tensor::DType::q5_k:
      return decode_blocks<Q45KFormat<codec::BlockQ5K, true>>(blocks, n, out);
    case tensor::DType::q6_k:
      return decode_blocks<Q6KFormat>(blocks, n, out);
    default:
      return decode_by_codec(type, blocks, n, out);
  }
}
