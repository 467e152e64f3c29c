// What the searches share. Blocks are searched in units of their own largest magnitude, so that no
// sum overflows and no reciprocal is infinite.

// Nearest integer, ties to even, for |a| < 2^22: adding 1.5 * 2^23 leaves no fraction bits.
ISA_INLINE F16x round_even(F16x a) {
  const F16x magic = splat(0x1.8p23F);
  return sub(add(a, magic), magic);
}
ISA_INLINE F16x clamp(F16x a, F16x low, F16x high) { return min(max(a, low), high); }

ISA_INLINE float least(F16x a) { return -largest(sub(splat(0), a)); }
// The first lane that holds the least value.
ISA_INLINE int least_lane(F16x a) { return std::countr_zero(~lane_bits(less(splat(least(a)), a))); }
ISA_INLINE float lane_of(F16x a, int lane) {
  alignas(64) float lanes[16];
  store(lanes, a);
  return lanes[lane];
}

// The trials of a fan: evenly spaced over [first, last].
ISA_INLINE F16x fan(float first, float last) {
  alignas(64) constexpr float kRamp[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  return add(splat(first), mul(load(kRamp), splat((last - first) * (1.0F / 15))));
}

// What values are rounded to: value = step * level - offset. Evenly spaced here, from a list in
// codebook.inl.h.
struct EvenLevels {
  float low;
  float high;
  ISA_INLINE F16x nearest(F16x scaled) const {
    return round_even(clamp(scaled, splat(low), splat(high)));
  }
};

constexpr float kNever = 1e30F;  // an error that is none

// Step of a stored scale of zero: every code but 0 is out of its reach, and its square times the
// squared error in codes is the error, as for any other step. A power of two well above any value.
constexpr float kNoStep = 0x1p20F;
ISA_INLINE F16x step_of(F16x d, F16x scale) {
  const F16x step = mul(d, scale);
  return select(less(splat(0), abs(step)), step, splat(kNoStep));
}

// Two kinds of blocks depend so much on a lucky d that they get many more starts: those that are
// representable but for the rounding of d (an error below this share of sum(w x^2)), and those
// where a sub-block beside an outlier is left with a scale of a few units.
constexpr float kNearlyExact = 1e-6F;
constexpr float kCoarseScale = 4;
constexpr int kManyAttempts = 32;
constexpr int kMoreAttempts = 8;
constexpr int kManyRounds = 4;  // of step 4, instead of one

// A block's values and weights in its own unit. `unit` is the power of two not above the largest
// magnitude: in units all values are below 2. A block that only holds values nearer to zero than to
// the smallest half is `empty`: zero is the best that can be stored.
struct ScaledBlock {
  alignas(64) float x[kBlockElemsMax];
  alignas(64) float w[kBlockElemsMax];
  int subs;
  int n;  // elements of a sub-block
  float unit;
  float largest;  // magnitude, in units: in [1, 2)
  float energy;   // sum w x^2
  bool empty;
};

void scale_block(const BlockProblem& problem, ScaledBlock& block) noexcept {
  block.subs = problem.subs;
  block.n = problem.sub_elems;
  const int count = block.subs * block.n;
  F16x most = splat(0);
  for (int i = 0; i < count; i += 16) most = max(abs(load(problem.x + i)), most);
  const float top = largest(most);
  block.empty = top < 0x1p-26F;
  block.unit =
      block.empty ? 1.0F : std::bit_cast<float>(std::bit_cast<uint32_t>(top) & 0x7f800000U);
  block.largest = top / block.unit;
  const F16x inverse = splat(1 / block.unit);
  F16x energy = splat(0);
  for (int i = 0; i < count; i += 16) {
    const F16x x = mul(load(problem.x + i), inverse);
    const F16x w = load(problem.w + i);
    energy = add(energy, mul(w, mul(x, x)));
    store(block.x + i, x);
    store(block.w + i, w);
  }
  block.energy = sum(energy);
}

// The positive half nearest to each value (ties may go either way), all in units: at least the
// smallest subnormal, for a block scale of zero would erase the block, at most the largest half.
// The product with 2^13 + 1 leaves the upper 11 bits of a float (Dekker, A floating-point technique
// for extending the available precision, 1971); below 2^-14 halves are multiples of 2^-24.
ISA_INLINE F16x half_magnitude(F16x real) {
  const F16x bounded = min(real, splat(base::kF16Max));
  const F16x product = mul(bounded, splat(8193));
  const F16x normal = sub(product, sub(product, bounded));
  const F16x subnormal = sub(add(bounded, splat(0.5F)), splat(0.5F));
  return select(less(bounded, splat(0x1p-14F)), subnormal, normal);
}
ISA_INLINE F16x half_above_zero(F16x value, float unit) {
  const F16x rounded = half_magnitude(mul(value, splat(unit)));
  return mul(max(rounded, splat(0x1p-24F)), splat(1 / unit));
}
// The same for values of any sign; small ones become zero.
ISA_INLINE F16x half_near(F16x value, float unit) {
  const F16x rounded = mul(half_magnitude(mul(abs(value), splat(unit))), splat(1 / unit));
  return select(less(value, splat(0)), sub(splat(0), rounded), rounded);
}

// d after a change that least squares asks for: the nearest half, or d itself rather than none.
ISA_INLINE float refit_half(float d, double change, float unit) {
  const float wanted = static_cast<float>(static_cast<double>(d) + change);
  return wanted > 0 ? lane_of(half_above_zero(splat(wanted), unit), 0) : d;
}

// Weighted sums of one sub-block with fixed codes, for refits of the scales: e = x - value.
struct ResidualSums {
  float e, le, l, ll;
};

// Sums at the levels nearest to (x + offset) / step; step is not zero.
template <class Levels>
ISA_INLINE ResidualSums residual_sums(const float* x, const float* w, int n, float step,
                                      float offset, const Levels& levels) {
  const F16x inverse = splat(1 / step);
  F16x se = splat(0), sle = se, sl = se, sll = se;
  for (int i = 0; i < n; i += 16) {
    const F16x shifted = add(load(x + i), splat(offset));
    const F16x code = levels.nearest(mul(shifted, inverse));
    const F16x e = sub(shifted, mul(code, splat(step)));
    const F16x weight = load(w + i);
    const F16x weighted = mul(weight, code);
    se = add(se, mul(weight, e));
    sle = add(sle, mul(weighted, e));
    sl = add(sl, weighted);
    sll = add(sll, mul(weighted, code));
  }
  float out[4];
  sum4(se, sle, sl, sll, out);
  return {out[0], out[1], out[2], out[3]};
}

// Weighted squared error of one sub-block under 16 grids, every element at its nearest level.
template <class Levels>
ISA_INLINE F16x nearest_errors(const float* x, const float* w, int n, F16x step, F16x offset,
                               const Levels& levels) {
  const F16x inverse = div(splat(1), step);
  F16x sum = splat(0);
  for (int i = 0; i < n; ++i) {
    const F16x scaled = mul(add(splat(x[i]), offset), inverse);
    const F16x e = sub(scaled, levels.nearest(scaled));
    sum = add(sum, mul(mul(splat(w[i]), e), e));
  }
  return mul(mul(step, step), sum);
}
