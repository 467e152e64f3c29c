// CodecTable::lattice_sums, lattice_round and lattice_scales. Nothing is summed across lanes but
// the moments of a rounding, in the order of sum().

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

// Of each element alone: the level number nearest to it (or next to that), and the least error of
// any level.
struct Alone {
  alignas(64) std::array<int32_t, 32> number;
  alignas(64) std::array<float, 32> error;
};

ISA_INLINE void look_alone(const LatticeView& view, F16x values, const float* y, const float* w,
                           int n, Alone& out) {
  alignas(64) float value[16];
  store(value, values);
  const float spacing = (value[view.top] - value[0]) / static_cast<float>(view.top);
  const F16x inverse = splat(spacing > 0 ? 1 / spacing : 0);
  const F16x top = splat(static_cast<float>(view.top));
  for (int i = 0; i < n; i += 16) {
    const F16x element = n - i >= 16 ? load(y + i) : load_n(y + i, n - i);
    const F16x weight = n - i >= 16 ? load(w + i) : load_n(w + i, n - i);
    const F16x number = mul(sub(element, splat(value[0])), inverse);
    F16x error = splat(std::numeric_limits<float>::infinity());
    for (int c = 0; c <= view.top; ++c) {
      const F16x e = sub(splat(value[c]), element);
      error = min(mul(weight, mul(e, e)), error);
    }
    const I16x integer = to_int(min(max(number, splat(0)), top));
    float lanes[16];
    store(lanes, from_bits(integer));
    std::memcpy(out.number.data() + i, lanes, sizeof lanes);
    store(out.error.data() + i, error);
  }
}

// The nearest of all points. Errors are looked up: four tables, each of two coordinates of two bits
// or of one of three, two for the high half and two for the low one. The run of the high half that
// the elements alone would choose comes first. Then those whose high half, with the least errors of
// the low elements alone, is better than the best point of that run.
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

  // number and least: Alone's, from the point's first element on.
  ISA_INLINE uint16_t find(const float* y, const float* w, const int32_t* number,
                           const float* least_alone, float* error) const {
    const F16x low0 = table(y, w, 0), low1 = table(y, w, 1);
    const F16x high0 = table(y, w, 2), high1 = table(y, w, 3);
    alignas(64) float high_error[kRunsMax];
    const int groups = (view_.runs + 15) / 16;
    for (int g = 0; g < groups; ++g) {
      const I16x high = load_u8(view_.high + 16 * g);
      store(high_error + 16 * g,
            add(lookup16(high0, high), lookup16(high1, shift_right(high, kShift))));
    }
    const int start = view_.run_near[high_half(number)];
    Best best = {splat(std::numeric_limits<float>::infinity()), splat_i(0)};
    search_run(start, low0, low1, high_error[start], best);
    *error = least(best.error);
    const F16x bound = splat(*error);
    const F16x low_least = splat(low_half_sum(least_alone));
    std::array<uint64_t, 2> runs{};
    for (int g = 0; g < groups; ++g) {
      const F16x e = add(load(high_error + 16 * g), low_least);
      runs[static_cast<size_t>(g / 4)] |= static_cast<uint64_t>(lane_bits(less(e, bound)))
                                          << 16 * (g % 4);
    }
    if (view_.runs < 64) runs[0] &= (uint64_t{1} << view_.runs) - 1;
    if (view_.runs > 64) runs[1] &= (uint64_t{1} << (view_.runs - 64)) - 1;
    runs[static_cast<size_t>(start / 64)] &= ~(uint64_t{1} << start % 64);
    for (size_t part = 0; part < 2; ++part) {
      for (uint64_t open = runs[part]; open != 0; open &= open - 1) {
        const int run = static_cast<int>(64 * part) + std::countr_zero(open);
        search_run(run, low0, low1, high_error[run], best);
      }
    }
    *error = least(best.error);
    const int lane = std::countr_zero(~lane_bits(less(splat(*error), best.error)));
    alignas(64) float first[16];
    store(first, from_bits(best.first));
    return static_cast<uint16_t>(std::bit_cast<int32_t>(first[lane]) + lane);
  }

 private:
  static constexpr int kShift = kCoords == 8 ? 4 : 3;
  static constexpr int kBits = kCoords == 8 ? 2 : 3;
  static constexpr int kRunsMax = 96;
  // Per lane: the least error, and the index of its point less the lane.
  struct Best {
    F16x error;
    I16x first;
  };

  ISA_INLINE static size_t high_half(const int32_t* number) {
    int32_t bits_set = 0;
    for (int j = 0; j < kCoords / 2; ++j) bits_set |= number[kCoords / 2 + j] << kBits * j;
    return static_cast<size_t>(bits_set);
  }
  ISA_INLINE static float low_half_sum(const float* e) {
    return kCoords == 8 ? (e[0] + e[1]) + (e[2] + e[3]) : e[0] + e[1];
  }

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

  ISA_INLINE void search_run(int run, F16x low0, F16x low1, float high_error, Best& best) const {
    const F16x high = splat(high_error);
    const int first = view_.first[run];
    const int count = view_.first[run + 1] - first;
    for (int i = 0; i < count; i += 16) {
      const I16x low = load_u8(view_.low + view_.begin[run] + i);
      const F16x e = add(add(lookup16(low0, low), lookup16(low1, shift_right(low, kShift))), high);
      best.first = select(less(e, best.error), splat_i(first + i), best.first);
      best.error = min(e, best.error);
    }
  }

  const LatticeView& view_;
  F16x value_even_;
  F16x value_odd_;
};

template <int kCoords>
ISA_INLINE float nearest_points(const NearestPoint<kCoords>& nearest, const Alone& alone, int i,
                                const float* y, const float* w, uint16_t* index) {
  float sum_of_errors = 0;
  for (int p = 0; p < 8 / kCoords; ++p) {
    const int at = i + p * kCoords;
    float error;
    index[p] = nearest.find(y + at, w + at, &alone.number[static_cast<size_t>(at)],
                            &alone.error[static_cast<size_t>(at)], &error);
    sum_of_errors += error;
  }
  return sum_of_errors;
}

template <int kCoords>
ISA_INLINE void round_octets(const LatticeView& view, int kind, float step, const float* y,
                             const float* w, int n, float limit, LatticeRounding& out) {
  const F16x level = load(view.level.data());
  const F16x values0 = mul(splat(step), level);
  const F16x values1 = mul(splat(step), sub(level, splat(view.delta)));
  const NearestPoint<kCoords> nearest0(view, values0);
  const NearestPoint<kCoords> nearest1(view, values1);
  Alone alone0, alone1;
  if (view.both_deltas || kind == 0) look_alone(view, values0, y, w, n, alone0);
  if (view.both_deltas || kind != 0) look_alone(view, values1, y, w, n, alone1);
  F16x yl = splat(0), ll = splat(0);
  out.error = 0;
  for (int i = 0; i < n && out.error < limit; i += 8) {
    const size_t o = static_cast<size_t>(i / 8);
    out.index[o] = {};
    std::array<uint16_t, 2> other{};
    float error = std::numeric_limits<float>::infinity();
    uint8_t chosen = 1;
    if (view.both_deltas || kind == 0) {
      error = nearest_points(nearest0, alone0, i, y, w, out.index[o].data());
      chosen = 0;
    }
    if (view.both_deltas || kind != 0) {
      const float error1 = nearest_points(nearest1, alone1, i, y, w, other.data());
      if (error1 < error) {
        error = error1;
        chosen = 1;
        out.index[o] = other;
      }
    }
    out.error += error;
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
    yl = add(yl, mul(weighted, value));
    ll = add(ll, mul(weighted, l));
  }
  out.yl = sum(yl);
  out.ll = sum(ll);
}

void lattice_round(const LatticeView& view, int kind, float step, const float* y, const float* w,
                   int n, float limit, LatticeRounding& out) noexcept {
  if (view.coords == 8) {
    round_octets<8>(view, kind, step, y, w, n, limit, out);
  } else {
    round_octets<4>(view, kind, step, y, w, n, limit, out);
  }
}

void lattice_scales(const LatticeScales& problem, const float* d, LatticeScaleFits& out) noexcept {
  const F16x zero = splat(0);
  const F16x one = splat(1);
  const F16x two = splat(2);
  const F16x block = load(d);
  const F16x unit = splat(problem.unit);
  const F16x inverse = div(splat(0.5F), mul(block, unit));
  F16x error = zero, numerator = zero, denominator = zero;
  for (size_t s = 0; s < static_cast<size_t>(problem.subs); ++s) {
    const F16x yl = splat(problem.yl[s]);
    const F16x ll = splat(problem.ll[s]);
    const F16x wanted = sub(mul(splat(problem.step[s]), inverse), splat(0.5F));
    const F16x scale = to_float(to_int(min(max(wanted, zero), splat(problem.scale_max))));
    const F16x multiple = mul(add(mul(two, scale), one), unit);
    const F16x step = mul(block, multiple);
    const F16x weighted = mul(multiple, ll);
    error = add(error, mul(step, sub(mul(step, ll), mul(two, yl))));
    numerator = add(numerator, mul(multiple, yl));
    denominator = add(denominator, mul(multiple, weighted));
  }
  store(out.error.data(), error);
  store(out.d.data(), div(numerator, denominator));
}
