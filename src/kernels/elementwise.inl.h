// Kernels whose output element depends on a few input elements. One pass, bound by memory except
// where an exponential is taken (about 20 vector operations).

// Nearest even; a NaN keeps its upper payload and becomes quiet (base::f32_to_bf16).
ISA_INLINE F16x rounded_to_bf16(F16x x) {
  const I16x b = bits(x);
  const I16x odd = bit_and(shift_right(b, 16), splat_i(1));
  const I16x rounded = add(add(b, splat_i(0x7fff)), odd);
  const I16x quiet = bit_or(b, splat_i(0x400000));
  const I16x upper = splat_i(static_cast<int32_t>(0xffff0000U));
  return from_bits(bit_and(select(is_nan(x), quiet, rounded), upper));
}

void round_bf16(const float* x, int64_t n, float* out) noexcept {
  for_each_piece(n, [&](int64_t i, int64_t count) {
    store_piece(out + i, count, rounded_to_bf16(load_piece(x + i, count)));
  });
}

void to_bf16(const float* x, int64_t n, uint16_t* out) noexcept {
  for_each_piece(n, [&](int64_t i, int64_t count) {
    int32_t words[16];
    store(words, bits(rounded_to_bf16(load_piece(x + i, count))));
    for (int64_t l = 0; l < count; ++l) {
      out[i + l] = static_cast<uint16_t>(static_cast<uint32_t>(words[l]) >> 16);
    }
  });
}

void silu_rows(const float* x, int64_t n, float* y) noexcept {
  for_each_piece(n, [&](int64_t i, int64_t count) {
    store_piece(y + i, count, silu(load_piece(x + i, count)));
  });
}

void silu_mul(const float* gate, const float* up, int64_t n, float* y) noexcept {
  for_each_piece(n, [&](int64_t i, int64_t count) {
    store_piece(y + i, count, mul(silu(load_piece(gate + i, count)), load_piece(up + i, count)));
  });
}

void sigmoid_rows(const float* x, int64_t n, float* y) noexcept {
  for_each_piece(n, [&](int64_t i, int64_t count) {
    store_piece(y + i, count, sigmoid(load_piece(x + i, count)));
  });
}

void sigmoid_mul(const float* gate, const float* x, int64_t n, float* y) noexcept {
  for_each_piece(n, [&](int64_t i, int64_t count) {
    store_piece(y + i, count, mul(sigmoid(load_piece(gate + i, count)), load_piece(x + i, count)));
  });
}

void delta_gate(const float* x, const float* dt, const float* a, int64_t n, float* g) noexcept {
  for_each_piece(n, [&](int64_t i, int64_t count) {
    const F16x z = add(load_piece(x + i, count), load_piece(dt + i, count));
    store_piece(g + i, count, mul(load_piece(a + i, count), softplus(z)));
  });
}

void add_rows(const float* x, int64_t n, float* y) noexcept {
  for_each_piece(n, [&](int64_t i, int64_t count) {
    store_piece(y + i, count, add(load_piece(y + i, count), load_piece(x + i, count)));
  });
}

void axpy(float a, const float* x, int64_t n, float* y) noexcept {
  const F16x factor = splat(a);
  for_each_piece(n, [&](int64_t i, int64_t count) {
    store_piece(y + i, count, fma(factor, load_piece(x + i, count), load_piece(y + i, count)));
  });
}

// Sum from 0 in increasing j, each step one fma.
ISA_INLINE F16x conv_any(const float* const* rows, const float* w, int64_t taps, int64_t c,
                         int64_t count) {
  F16x total = splat(0.0F);
  for (int64_t j = 0; j < taps; ++j) {
    const float* weights = w + c * taps + j;
    const F16x weight =
        count == 16 ? load_strided(weights, taps) : load_strided_n(weights, taps, count);
    total = fma(weight, load_piece(rows[j] + c, count), total);
  }
  return total;
}

// The same for 16 channels of four taps, the only kernel width in use.
ISA_INLINE F16x conv_four(const float* const* rows, const float* w, int64_t c) {
  F16x weight[4];
  load_interleaved(w + 4 * c, weight);
  F16x total = splat(0.0F);
  for (int j = 0; j < 4; ++j) total = fma(weight[j], load(rows[j] + c), total);
  return total;
}

void conv_silu(const float* const* rows, const float* w, int64_t taps, int64_t channels,
               float* y) noexcept {
  for_each_piece(channels, [&](int64_t c, int64_t count) {
    const bool four = taps == 4 && count == 16;
    const F16x total = four ? conv_four(rows, w, c) : conv_any(rows, w, taps, c, count);
    store_piece(y + c, count, silu(total));
  });
}

// The product with cos is rounded, the one with sin is not.
void rope(float* x, const float* cos, const float* sin, int64_t half) noexcept {
  for_each_piece(half, [&](int64_t i, int64_t count) {
    const F16x a = load_piece(x + i, count);
    const F16x b = load_piece(x + half + i, count);
    const F16x c = load_piece(cos + i, count);
    const F16x s = load_piece(sin + i, count);
    store_piece(x + i, count, fnma(b, s, mul(a, c)));
    store_piece(x + half + i, count, fma(a, s, mul(b, c)));
  });
}
