// CodecTable::lattice_sums and lattice_round: the two searches among points. Nothing is summed
// across lanes but the moments of a rounding, in the order of sum().

// Adds one octet under sixteen steps; about 20 operations per element and a gather per point.
template <int kCoords>
ISA_INLINE void add_octet(const LatticeView& view, F16x level, F16x to_number, F16x offset,
                          const float* y, const float* w, F16x& yl, F16x& ll) {
  constexpr int kBits = kCoords == 8 ? 2 : 3;
  const F16x top = splat(static_cast<float>(view.top));
  const F16x base = splat(static_cast<float>(view.top + 1));
  const F16x zero = splat(0);
  for (int p = 0; p < 8; p += kCoords) {
    F16x cell = zero;
    ISA_UNROLL
    for (int j = kCoords - 1; j >= 0; --j) {
      const F16x number = add(mul(splat(y[p + j]), to_number), offset);
      cell = add(mul(cell, base), to_float(to_int(min(max(number, zero), top))));
    }
    I16x point = lookup_u16(view.nearest, to_int(cell));
    ISA_UNROLL
    for (int j = 0; j < kCoords; ++j) {
      const F16x l = lookup16(level, point);
      const F16x weighted = mul(splat(w[p + j]), l);
      yl = add(yl, mul(splat(y[p + j]), weighted));
      ll = add(ll, mul(weighted, l));
      point = shift_right(point, kBits);
    }
  }
}

template <int kCoords>
ISA_INLINE void sums_of(const LatticeView& view, int kind, const float* y, const float* w, int n,
                        const float* steps, LatticeSums& out) {
  const F16x step = load(steps);
  const F16x zero = splat(0);
  const F16x level0 = load(view.level.data());
  const F16x level1 = sub(level0, splat(view.delta));
  const float spacing =
      (view.level[static_cast<size_t>(view.top)] - view.level[0]) / static_cast<float>(view.top);
  const F16x to_number = div(splat(1 / spacing), step);
  const F16x offset0 = splat(-view.level[0] / spacing);
  const F16x offset1 = splat((view.delta - view.level[0]) / spacing);
  F16x yl = zero, ll = zero;
  for (int i = 0; i < n; i += 8) {
    if (!view.both_deltas) {
      add_octet<kCoords>(view, kind == 0 ? level0 : level1, to_number,
                         kind == 0 ? offset0 : offset1, y + i, w + i, yl, ll);
      continue;
    }
    F16x yl0 = zero, ll0 = zero, yl1 = zero, ll1 = zero;
    add_octet<kCoords>(view, level0, to_number, offset0, y + i, w + i, yl0, ll0);
    add_octet<kCoords>(view, level1, to_number, offset1, y + i, w + i, yl1, ll1);
    const F16x error0 = mul(step, sub(mul(step, ll0), add(yl0, yl0)));
    const F16x error1 = mul(step, sub(mul(step, ll1), add(yl1, yl1)));
    const M16x other = less(error1, error0);
    yl = add(yl, select(other, yl1, yl0));
    ll = add(ll, select(other, ll1, ll0));
  }
  store(out.yl.data(), yl);
  store(out.ll.data(), ll);
}

void lattice_sums(const LatticeView& view, int kind, const float* y, const float* w, int n,
                  const float* steps, LatticeSums& out) noexcept {
  if (view.coords == 8) {
    sums_of<8>(view, kind, y, w, n, steps, out);
  } else {
    sums_of<4>(view, kind, y, w, n, steps, out);
  }
}


// The nearest of all points. Errors are looked up: four tables, each of two coordinates of two bits
// or of one of three, two for the high half and two for the low one. A run whose high half with the
// best low half that there could be is no better than the best point so far is passed over; the run
// of the best high half comes first.
template <int kCoords>
class NearestPoint {
 public:
  NearestPoint(const LatticeView& view, F16x values)
      : view_(view), value_even_(values), value_odd_(values) {
    if constexpr (kCoords == 8) {
      alignas(64) float odd[16];
      alignas(64) float all[16];
      store(all, values);
      for (int i = 0; i < 16; ++i) odd[i] = all[i >> 2];
      value_odd_ = load(odd);
    }
  }

  ISA_INLINE uint16_t find(const float* y, const float* w, float* error) const {
    const F16x low0 = table(y, w, 0), low1 = table(y, w, 1);
    const F16x high0 = table(y, w, 2), high1 = table(y, w, 3);
    alignas(64) float high_error[96];
    const int groups = (view_.runs + 15) / 16;
    F16x lowest = splat(kNever);
    for (int g = 0; g < groups; ++g) {
      const I16x high = load_u8(view_.high + 16 * g);
      const F16x e = add(lookup16(high0, high), lookup16(high1, shift_right(high, kShift)));
      store(high_error + 16 * g, e);
      lowest = min(e, lowest);
    }
    const float low_least = least(low0) + least(low1);
    Best best;
    const float high_least = least(lowest);
    for (int g = 0; g < groups; ++g) {
      const uint32_t here = ~lane_bits(less(splat(high_least), load(high_error + 16 * g))) & 0xffff;
      if (here == 0) continue;
      search_run(16 * g + std::countr_zero(here), low0, low1, high_error, best);
      break;
    }
    for (int g = 0; g < groups; ++g) {
      const F16x bound = add(load(high_error + 16 * g), splat(low_least));
      uint32_t open = lane_bits(less(bound, splat(best.error)));
      for (; open != 0; open &= open - 1) {
        const int run = 16 * g + std::countr_zero(open);
        if (run < view_.runs && high_error[run] + low_least < best.error) {
          search_run(run, low0, low1, high_error, best);
        }
      }
    }
    *error = best.error;
    return best.index;
  }

 private:
  static constexpr int kShift = kCoords == 8 ? 4 : 3;
  static constexpr float kNever = std::numeric_limits<float>::infinity();
  struct Best {
    float error = kNever;
    uint16_t index = 0;
  };

  // Errors of the coordinates 2 k and 2 k + 1, or k.
  ISA_INLINE F16x table(const float* y, const float* w, int k) const {
    if constexpr (kCoords == 8) {
      const F16x e0 = sub(value_even_, splat(y[2 * k]));
      const F16x e1 = sub(value_odd_, splat(y[2 * k + 1]));
      return add(mul(splat(w[2 * k]), mul(e0, e0)), mul(splat(w[2 * k + 1]), mul(e1, e1)));
    } else {
      const F16x e = sub(value_even_, splat(y[k]));
      return mul(splat(w[k]), mul(e, e));
    }
  }

  ISA_INLINE void search_run(int run, F16x low0, F16x low1, const float* high_error,
                             Best& best) const {
    const F16x high = splat(high_error[run]);
    const int count = view_.first[run + 1] - view_.first[run];
    for (int i = 0; i < count; i += 16) {
      const I16x low = load_u8(view_.low + view_.begin[run] + i);
      const F16x e = add(add(lookup16(low0, low), lookup16(low1, shift_right(low, kShift))), high);
      if (lane_bits(less(e, splat(best.error))) == 0) continue;
      best.error = least(e);
      const uint32_t there = ~lane_bits(less(splat(best.error), e)) & 0xffff;
      best.index = static_cast<uint16_t>(view_.first[run] + i + std::countr_zero(there));
    }
  }

  const LatticeView& view_;
  F16x value_even_;
  F16x value_odd_;
};

template <int kCoords>
ISA_INLINE float nearest_points(const NearestPoint<kCoords>& nearest, const float* y,
                                const float* w, uint16_t* index) {
  float sum_of_errors = 0;
  for (int p = 0; p < 8 / kCoords; ++p) {
    float error;
    index[p] = nearest.find(y + p * kCoords, w + p * kCoords, &error);
    sum_of_errors += error;
  }
  return sum_of_errors;
}

template <int kCoords>
ISA_INLINE void round_octets(const LatticeView& view, int kind, float step, const float* y,
                             const float* w, int n, LatticeRounding& out) {
  const F16x level = load(view.level.data());
  const NearestPoint<kCoords> upper(view, mul(splat(step), level));
  const NearestPoint<kCoords> lower(view, mul(splat(step), sub(level, splat(view.delta))));
  F16x yl = splat(0), ll = splat(0), error = splat(0);
  for (int i = 0; i < n; i += 8) {
    const size_t o = static_cast<size_t>(i / 8);
    out.index[o] = {};
    uint8_t chosen = static_cast<uint8_t>(kind);
    if (view.both_deltas) {
      std::array<uint16_t, 2> other{};
      const float error0 = nearest_points(upper, y + i, w + i, out.index[o].data());
      const float error1 = nearest_points(lower, y + i, w + i, other.data());
      chosen = error1 < error0;
      if (chosen != 0) out.index[o] = other;
    } else {
      nearest_points(kind == 0 ? upper : lower, y + i, w + i, out.index[o].data());
    }
    out.kind[o] = chosen;
    int8_t levels[16] = {};
    for (int p = 0; p < 8 / kCoords; ++p) {
      std::memcpy(levels + p * kCoords,
                  view.levels + kCoords * out.index[o][static_cast<size_t>(p)], kCoords);
    }
    const F16x l = sub(to_float(load_i8(levels)), splat(chosen != 0 ? view.delta : 0));
    const F16x value = load_n(y + i, 8);
    const F16x weight = load_n(w + i, 8);
    const F16x weighted = mul(weight, l);
    const F16x difference = sub(value, mul(splat(step), l));
    yl = add(yl, mul(weighted, value));
    ll = add(ll, mul(weighted, l));
    error = add(error, mul(mul(weight, difference), difference));
  }
  out.yl = sum(yl);
  out.ll = sum(ll);
  out.error = sum(error);
}

void lattice_round(const LatticeView& view, int kind, float step, const float* y, const float* w,
                   int n, LatticeRounding& out) noexcept {
  if (view.coords == 8) {
    round_octets<8>(view, kind, step, y, w, n, out);
  } else {
    round_octets<4>(view, kind, step, y, w, n, out);
  }
}
