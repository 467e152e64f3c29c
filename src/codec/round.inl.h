// CodecTable::round_codes. Per 16 elements two sums, a product and a rounding; bound by the stores.

void round_codes(const ScalarGrid& grid, const float* x, int n, int32_t* codes) noexcept {
  const F16x low = splat(grid.low);
  const F16x high = splat(grid.high);
  for (int begin = 0, s = 0; begin < n; begin += grid.sub_elems, ++s) {
    const F16x inverse = splat(grid.step[s] != 0 ? 1 / grid.step[s] : 0);
    const F16x offset = splat(grid.offset[s]);
    for (int i = begin; i < begin + grid.sub_elems; i += 16) {
      store(codes + i, to_int(clamp(mul(add(load(x + i), offset), inverse), low, high)));
    }
  }
}
