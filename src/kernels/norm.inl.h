// Row normalisations and softmax: a sum in the 16-lane order, then one elementwise pass.

ISA_INLINE float sum_of_squares(const float* x, int64_t n) {
  F16x total = splat(0.0F);
  for_each_piece(n, [&](int64_t i, int64_t count) {
    const F16x v = load_piece(x + i, count);
    total = fma(v, v, total);
  });
  return sum(total);
}

// y = (x * inverse) * w, the inverse and both products rounded.
void rms_norm(const float* x, const float* w, float eps, int64_t n, float* y) noexcept {
  const float mean = sum_of_squares(x, n) / static_cast<float>(n);
  const F16x inverse = splat(1.0F / std::sqrt(mean + eps));
  for_each_piece(n, [&](int64_t i, int64_t count) {
    const F16x v = mul(load_piece(x + i, count), inverse);
    store_piece(y + i, count, mul(v, load_piece(w + i, count)));
  });
}

// y = x * (inverse * scale).
void l2_norm(const float* x, float eps, float scale, int64_t n, float* y) noexcept {
  const F16x factor = splat(1.0F / std::sqrt(sum_of_squares(x, n) + eps) * scale);
  for_each_piece(n, [&](int64_t i, int64_t count) {
    store_piece(y + i, count, mul(load_piece(x + i, count), factor));
  });
}

// y = ((x * inverse) * w) * silu(z).
void gated_norm(const float* x, const float* w, const float* z, float eps, int64_t n,
                float* y) noexcept {
  const float mean = sum_of_squares(x, n) / static_cast<float>(n);
  const F16x inverse = splat(1.0F / std::sqrt(mean + eps));
  for_each_piece(n, [&](int64_t i, int64_t count) {
    const F16x v = mul(mul(load_piece(x + i, count), inverse), load_piece(w + i, count));
    store_piece(y + i, count, mul(v, silu(load_piece(z + i, count))));
  });
}

// Products with the scale are rounded before the largest is subtracted.
void softmax(float* x, int64_t n, float scale) noexcept {
  const float lowest = -std::numeric_limits<float>::infinity();
  const F16x factor = splat(scale);
  F16x top = splat(lowest);
  for_each_piece(n, [&](int64_t i, int64_t count) {
    const F16x scaled = mul(load_piece(x + i, count), factor);
    store_piece(x + i, count, scaled);
    top = max(top, count == 16 ? scaled : select(first(count), scaled, splat(lowest)));
  });
  const F16x peak = splat(largest(top));
  F16x total = splat(0.0F);
  for_each_piece(n, [&](int64_t i, int64_t count) {
    const F16x e = exp(sub(load_piece(x + i, count), peak));
    total = add(total, count == 16 ? e : select(first(count), e, splat(0.0F)));
    store_piece(x + i, count, e);
  });
  const F16x divisor = splat(sum(total));
  for_each_piece(n, [&](int64_t i, int64_t count) {
    store_piece(x + i, count, div(load_piece(x + i, count), divisor));
  });
}
