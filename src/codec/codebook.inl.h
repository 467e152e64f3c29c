// CodecTable::level_sums. A lane is a step, so no sum runs across lanes. About 20 operations on
// sixteen lanes per element: bound by arithmetic, everything else stays in registers.

void level_sums(const Codebook& book, const float* x, const float* w, int n, const float* steps,
                LevelSums& out) noexcept {
  const F16x border = load(book.border.data());
  const F16x low = load(book.low.data());
  const F16x high = load(book.high.data());
  const F16x step = load(steps);
  const F16x zero = splat(0);
  const F16x inverse = select(less(zero, abs(step)), div(splat(1), step), zero);
  const F16x to_cell = mul(inverse, splat(book.inverse_width));
  const F16x first_cell = splat(book.first * book.inverse_width);
  const F16x last = splat(15);
  F16x error = zero;
  F16x xl = zero;
  F16x ll = zero;
  for (int i = 0; i < n; ++i) {
    const F16x value = splat(x[i]);
    const F16x weight = splat(w[i]);
    const F16x cell = min(max(sub(mul(value, to_cell), first_cell), zero), last);
    const I16x index = to_int(cell);
    const M16x below = less(mul(value, inverse), lookup16(border, index));
    const F16x level = select(below, lookup16(low, index), lookup16(high, index));
    const F16x difference = sub(value, mul(step, level));
    const F16x weighted = mul(weight, level);
    error = add(error, mul(mul(weight, difference), difference));
    xl = add(xl, mul(weighted, value));
    ll = add(ll, mul(weighted, level));
  }
  store(out.error.data(), error);
  store(out.xl.data(), xl);
  store(out.ll.data(), ll);
}
