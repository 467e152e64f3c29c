// Rows of inputs -> int8 blocks, and blocks -> the tiles of the integer product. Per element some
// two vector operations of 16; bound by memory.

// Blocks whose largest magnitude is below 2^-100 (or that are empty) become zero; one with a NaN or
// an infinity gets the scale NaN, so that every output it enters is NaN.
ISA_INLINE void quantize_block(F16x low, F16x high, int b, QuantizedBlock& out) {
  const float largest_magnitude = largest(max(abs(low), abs(high)));
  const F16x zero = splat(0.0F);
  const float not_finite = sum(fma(low, zero, mul(high, zero)));  // 0 or NaN
  const bool usable = not_finite == 0 && largest_magnitude >= 0x1p-100F;
  const F16x inverse = splat(usable ? 127.0F / largest_magnitude : 0.0F);
  const float scale = usable ? largest_magnitude / 127.0F : not_finite;
  const I16x none = splat_i(0);
  const I16x low_codes = usable ? to_int(mul(low, inverse)) : none;
  const I16x high_codes = usable ? to_int(mul(high, inverse)) : none;
  store_i8(out.code + 32 * b, low_codes);
  store_i8(out.code + 32 * b + 16, high_codes);
  const int32_t low_sum = sum(low_codes);
  const int32_t high_sum = sum(high_codes);
  out.scale[b] = scale;
  out.product[b] = scale * static_cast<float>(low_sum + high_sum);
  out.minus_sum32[b] = -(low_sum + high_sum);
  out.minus_sum16[2 * b] = -low_sum;
  out.minus_sum16[2 * b + 1] = -high_sum;
}

void quantize_row(const float* x, int64_t n, QuantizedBlock* out) noexcept {
  for (int64_t i = 0; i < panels_of(n) * kPanelCols; i += 32) {
    const F16x zero = splat(0.0F);
    quantize_block(i < n ? load(x + i) : zero, i < n ? load(x + i + 16) : zero,
                   static_cast<int>(i % kPanelCols / 32), out[i / kPanelCols]);
  }
}

void tile_rows(const QuantizedBlock* const* rows, int64_t count, int64_t panels,
               std::byte* out) noexcept {
  auto* words = reinterpret_cast<int32_t*>(out);
  for (int64_t r = 0; r < count;) {
    const int64_t width = tile_width(count - r, Lanes::kTileRows);
    for (int64_t p = 0; p < panels; ++p, words += width * kBlockWords) {
      for (int64_t c = 0; c < width; ++c) {
        const auto* from = reinterpret_cast<const int32_t*>(rows[r + c] + p);
        for (int64_t i = 0; i < kBlockWords; ++i) words[i * width + c] = from[i];
      }
    }
    r += width;
  }
}
