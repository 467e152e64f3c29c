// CodecTable::first_out_of_range. One comparison per element: bound by memory.

int64_t first_out_of_range(const float* x, int64_t n, float range_max) noexcept {
  const F16x most = splat(range_max);
  for (int64_t i = 0; i < n; i += 16) {
    const int64_t count = n - i < 16 ? n - i : 16;
    const F16x value = abs(count == 16 ? load(x + i) : load_n(x + i, count));
    const uint32_t bad = lane_bits(less(most, value)) | lane_bits(is_nan(value));
    if (bad != 0) return i + std::countr_zero(bad);
  }
  return n;
}
