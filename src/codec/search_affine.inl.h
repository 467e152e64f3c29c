// CodecTable::search_affine (search.h explains the method). Per element and sub-block two groups of
// trial roundings (6 products and 6 sums per lane each) and one group of true errors (5 and 5) per
// round of step 3; the rest is per sub-block. Bound: the arithmetic.

// The trials of the first group round (x - low + cut) * (code_max + t) / range: t evenly spaced
// from kAffineFanFirst, cut in steps from kCut (a lowest value that is cut off makes the others
// finer). The second group rounds again at each one's least-squares fit.
constexpr float kAffineFanFirst = -1.0F;
constexpr float kAffineFanStep = 0.2F;
constexpr int kTrialGroups = 2;
constexpr int kTrials = 16 * kTrialGroups;
// The model looks at roundings whose error is within this factor of the least, tightened while they
// are more than kTrialsKept.
constexpr float kTrialKeep[] = {1.5F, 1.25F, 1.12F, 1.06F};
constexpr int kTrialsKept = 5;
// Places that are spread evenly however many are used: the additive recurrences of the golden ratio
// (in one dimension) and of its two-dimensional kin (Roberts, The unreasonable effectiveness of
// quasirandom sequences, 2018). Cuts in [0, 0.8], and where the largest step and offset of the
// block lie in the range of their integers, in [0.94, 1].
alignas(64) constexpr float kCut[16] = {0.4000F, 0.0944F, 0.5889F, 0.2833F, 0.7777F, 0.4721F,
                                        0.1666F, 0.6610F, 0.3554F, 0.0498F, 0.5443F, 0.2387F,
                                        0.7331F, 0.4276F, 0.1220F, 0.6164F};
alignas(64) constexpr float kTopScale[16] = {0.9700F, 0.9553F, 0.9406F, 0.9859F, 0.9712F, 0.9565F,
                                             0.9418F, 0.9870F, 0.9723F, 0.9576F, 0.9429F, 0.9882F,
                                             0.9735F, 0.9588F, 0.9441F, 0.9894F};
alignas(64) constexpr float kTopMin[16] = {0.9700F, 0.9442F, 0.9784F, 0.9526F, 0.9868F, 0.9610F,
                                           0.9951F, 0.9693F, 0.9435F, 0.9777F, 0.9519F, 0.9861F,
                                           0.9603F, 0.9945F, 0.9687F, 0.9429F};
// The pairs of integers of step 3, about the model's: the min that keeps the mean, and its
// neighbours.
alignas(64) constexpr float kPairScale[16] = {-2, -2, -2, -1, -1, -1, 0, 0, 0, 1, 1, 1, 2, 2, 2, 3};
alignas(64) constexpr float kPairMin[16] = {-1, 0, 1, -1, 0, 1, -1, 0, 1, -1, 0, 1, -1, 0, 1, 0};

// Trial roundings of one sub-block: least-squares step and offset, the error there, the weighted
// mean of the codes and their weighted sum of squares about it. Bit k of `kept`: the model looks at
// trial k.
struct AffineTrials {
  uint32_t kept;
  float sum_w;
  alignas(64) float step[kTrials];
  alignas(64) float offset[kTrials];
  alignas(64) float error[kTrials];
  alignas(64) float mean[kTrials];
  alignas(64) float spread[kTrials];
};

// Stored integers of one sub-block, and what the codes under them give.
struct AffinePair {
  float scale;
  float min;
  float error;
  float mean;  // of the codes, weighted
};

struct AffineState {
  float d;
  float dmin;
  float total;
  AffinePair sub[kSubBlocksMax];
};

// Sums of one sub-block that do not depend on the codes.
struct FixedSums {
  float w, mean_x, spread_x;  // spread: sum w (x - mean_x)^2
};
ISA_INLINE FixedSums fixed_sums(const float* x, const float* w, int n) {
  F16x sw = splat(0), swx = sw;
  for (int i = 0; i < n; i += 16) {
    sw = add(sw, load(w + i));
    swx = add(swx, mul(load(w + i), load(x + i)));
  }
  const float total = sum(sw);
  const float mean = sum(swx) / total;
  F16x spread = splat(0);
  for (int i = 0; i < n; i += 16) {
    const F16x centred = sub(load(x + i), splat(mean));
    spread = add(spread, mul(load(w + i), mul(centred, centred)));
  }
  return {total, mean, sum(spread)};
}

struct AffineTrial {
  F16x step, offset, error, mean, spread;
};

// Least squares for the codes nearest to (x + offset) * inverse. Unless kSigned, an offset below
// zero, which cannot be stored, becomes zero. The error of trials that give no positive step is out
// of reach.
template <bool kSigned>
ISA_INLINE AffineTrial try_affine(const float* x, const float* w, int n, const FixedSums& fixed,
                                  F16x inverse, F16x offset, float code_max) {
  const F16x zero = splat(0);
  const F16x top = splat(code_max);
  F16x sl = zero, sll = zero, sxl = zero;
  for (int i = 0; i < n; ++i) {
    const F16x value = splat(x[i]);
    const F16x code = round_even(clamp(mul(add(value, offset), inverse), zero, top));
    const F16x weighted = mul(splat(w[i]), code);
    sl = add(sl, weighted);
    sll = add(sll, mul(weighted, code));
    sxl = add(sxl, mul(weighted, value));
  }
  const F16x mean = mul(sl, splat(1 / fixed.w));
  const F16x spread = max(sub(sll, mul(sl, mean)), add(mul(sll, splat(1e-5F)), splat(1e-30F)));
  const F16x product = sub(sxl, mul(sl, splat(fixed.mean_x)));
  const F16x free_step = div(product, spread);
  const F16x free_offset = sub(mul(free_step, mean), splat(fixed.mean_x));
  const M16x below = less(free_offset, kSigned ? splat(-kNever) : zero);
  const F16x step = select(below, div(sxl, max(sll, splat(1e-30F))), free_step);
  AffineTrial trial;
  trial.mean = mean;
  trial.spread = spread;
  trial.step = step;
  trial.offset = select(below, zero, free_offset);
  // spread_x - 2 step product + step^2 spread + w (offset - step mean + mean_x)^2
  const F16x shift = add(sub(trial.offset, mul(step, mean)), splat(fixed.mean_x));
  const F16x along = sub(mul(step, spread), add(product, product));
  const F16x error =
      add(add(splat(fixed.spread_x), mul(step, along)), mul(splat(fixed.w), mul(shift, shift)));
  trial.error = select(less(zero, step), max(error, splat(1e-12F * fixed.spread_x)), splat(kNever));
  return trial;
}

struct AffineSearch {
  const ScaledBlock& block;
  float code_max;
  float integer_max;
  AffineTrials trials[kSubBlocksMax];

  const float* x(int s) const { return block.x + s * block.n; }
  const float* w(int s) const { return block.w + s * block.n; }

  void store_trials(AffineTrials& out, int group, const AffineTrial& t) {
    store(out.step + 16 * group, t.step);
    store(out.offset + 16 * group, t.offset);
    store(out.error + 16 * group, t.error);
    store(out.mean + 16 * group, t.mean);
    store(out.spread + 16 * group, t.spread);
  }

  // Which trials the model shall look at: near the best, and none twice (the same codes have the
  // same mean and spread).
  static uint32_t choose_trials(const AffineTrial& a, const AffineTrial& b) {
    const float best = least(min(a.error, b.error));
    const uint32_t repeated = ~lane_bits(less(a.mean, b.mean)) & ~lane_bits(less(b.mean, a.mean)) &
                              ~lane_bits(less(a.spread, b.spread)) &
                              ~lane_bits(less(b.spread, a.spread)) & 0xffffU;
    uint32_t kept = 0;
    for (const float factor : kTrialKeep) {
      const F16x bound = splat(best * factor);
      kept = (~lane_bits(less(bound, a.error)) & 0xffffU) |
             (~lane_bits(less(bound, b.error)) & ~repeated) << 16;
      if (std::popcount(kept) <= kTrialsKept) break;
    }
    return kept;
  }

  void find_trials(int s, float shift, float cut) {
    AffineTrials& out = trials[s];
    F16x lows = load(x(s)), highs = lows;
    for (int i = 16; i < block.n; i += 16) {
      lows = min(lows, load(x(s) + i));
      highs = max(highs, load(x(s) + i));
    }
    const float low = least(min(lows, splat(0)));
    const float high = largest(highs);
    const FixedSums fixed = fixed_sums(x(s), w(s), block.n);
    out.sum_w = fixed.w;
    if (high <= low) {  // all values are the same and not positive: an offset is all they need
      const F16x zero = splat(0);
      for (int g = 0; g < kTrialGroups; ++g) {
        store_trials(out, g, {zero, splat(-low), zero, zero, zero});
      }
      out.kept = 1;
      return;
    }
    const F16x inverse =
        mul(add(splat(code_max),
                fan(kAffineFanFirst + shift, kAffineFanFirst + shift + 15 * kAffineFanStep)),
            splat(1 / (high - low)));
    const F16x cuts = mul(load(kCut), splat(cut * (high - low) / code_max));
    const F16x from = max(sub(splat(-low), cuts), splat(0));
    const AffineTrial first =
        try_affine<false>(x(s), w(s), block.n, fixed, inverse, from, code_max);
    const F16x again = div(splat(1), select(less(splat(0), first.step), first.step, splat(1)));
    const AffineTrial second =
        try_affine<false>(x(s), w(s), block.n, fixed, again, first.offset, code_max);
    store_trials(out, 0, first);
    store_trials(out, 1, second);
    out.kept = choose_trials(first, second);
  }

  // Error of a trial's codes under the integers that suit them best: the stored scale nearest to
  // the trial's step, then the min that keeps the weighted mean.
  struct Model {
    F16x error, scale, min;
  };
  ISA_INLINE Model model(F16x d, F16x inverse_d, F16x dmin, F16x inverse_dmin, F16x step,
                         F16x offset, F16x error, F16x mean, F16x spread, F16x sum_w) const {
    const F16x top = splat(integer_max);
    const F16x scale = min(round_even(mul(step, inverse_d)), top);
    const F16x change = sub(mul(d, scale), step);
    const F16x wanted = add(offset, mul(change, mean));
    const F16x integer = clamp(round_even(mul(wanted, inverse_dmin)), splat(0), top);
    const F16x miss = sub(mul(dmin, integer), wanted);
    const F16x change_error = mul(mul(change, change), spread);
    return {add(error, add(change_error, mul(mul(miss, miss), sum_w))), scale, integer};
  }

  // Of 16 pairs of block scales.
  F16x model_totals(F16x d, F16x dmin) const {
    const F16x inverse_d = div(splat(1), d);
    const F16x inverse_dmin = div(splat(1), dmin);
    F16x total = splat(0);
    for (int s = 0; s < block.subs; ++s) {
      const AffineTrials& t = trials[s];
      const F16x sum_w = splat(t.sum_w);
      F16x best = splat(kNever);
      for (uint32_t left = t.kept; left != 0; left &= left - 1) {
        const int k = std::countr_zero(left);
        best =
            min(best, model(d, inverse_d, dmin, inverse_dmin, splat(t.step[k]), splat(t.offset[k]),
                            splat(t.error[k]), splat(t.mean[k]), splat(t.spread[k]), sum_w)
                          .error);
      }
      total = add(total, best);
    }
    return total;
  }

  // The model's best integers.
  AffinePair model_pair(int s, float d, float dmin) const {
    const AffineTrials& t = trials[s];
    const F16x vd = splat(d), vdmin = splat(dmin);
    const F16x inverse_d = splat(1 / d), inverse_dmin = splat(1 / dmin);
    Model best{splat(kNever), splat(0), splat(0)};
    F16x mean = splat(0);
    for (int k = 0; k < kTrials; k += 16) {
      const F16x m = load(t.mean + k);
      const Model found =
          model(vd, inverse_d, vdmin, inverse_dmin, load(t.step + k), load(t.offset + k),
                load(t.error + k), m, load(t.spread + k), splat(t.sum_w));
      const M16x better = less(found.error, best.error);
      best.error = select(better, found.error, best.error);
      best.scale = select(better, found.scale, best.scale);
      best.min = select(better, found.min, best.min);
      mean = select(better, m, mean);
    }
    const int lane = least_lane(best.error);
    return {lane_of(best.scale, lane), lane_of(best.min, lane), 0, lane_of(mean, lane)};
  }

  // The best of 16 pairs along the valley through `near` by the true error: a larger step wants a
  // larger offset.
  AffinePair best_pair(int s, float d, float dmin, const AffinePair& near) const {
    const F16x top = splat(integer_max);
    const F16x scale = clamp(add(splat(near.scale), load(kPairScale)), splat(0), top);
    const F16x wanted = mul(sub(scale, splat(near.scale)), splat(d * near.mean / dmin));
    const F16x middle = round_even(add(splat(near.min), wanted));
    const F16x integer = clamp(add(middle, load(kPairMin)), splat(0), top);
    const F16x error = nearest_errors(x(s), w(s), block.n, step_of(splat(d), scale),
                                      mul(splat(dmin), integer), EvenLevels{0, code_max});
    const int lane = least_lane(error);
    return {lane_of(scale, lane), lane_of(integer, lane), lane_of(error, lane), near.mean};
  }

  AffineState start(float d, float dmin) const {
    AffineState state;
    state.d = d;
    state.dmin = dmin;
    state.total = 0;
    for (int s = 0; s < block.subs; ++s) {
      state.sub[s] = best_pair(s, d, dmin, model_pair(s, d, dmin));
      state.total += state.sub[s].error;
    }
    return state;
  }

  // Least-squares d and dmin with codes and integers fixed, rounded to halves, in `next`; false if
  // they are already those. The means of the codes are brought up to date.
  bool refit(AffineState& state, AffineState& next) const {
    double aa = 0, ab = 0, bb = 0, xa = 0, xb = 0;
    for (int s = 0; s < block.subs; ++s) {
      AffinePair& pair = state.sub[s];
      const double scale = static_cast<double>(pair.scale);
      const double min = static_cast<double>(pair.min);
      const float step = pair.scale != 0 ? state.d * pair.scale : kNoStep;
      const ResidualSums m =
          residual_sums(x(s), w(s), block.n, step, state.dmin * pair.min, EvenLevels{0, code_max});
      pair.mean = m.l / trials[s].sum_w;
      aa += scale * scale * static_cast<double>(m.ll);
      ab += scale * min * static_cast<double>(m.l);
      bb += min * min * static_cast<double>(trials[s].sum_w);
      xa += scale * static_cast<double>(m.le);
      xb += min * static_cast<double>(m.e);
    }
    const double det = aa * bb - ab * ab;
    double change = 0;
    double change_min = 0;
    if (det > 1e-9 * aa * bb) {
      change = (xa * bb - xb * ab) / det;
      change_min = (xa * ab - xb * aa) / det;
    } else if (aa > 0) {
      change = xa / aa;
    }
    next.d = refit_half(state.d, change, block.unit);
    next.dmin = refit_half(state.dmin, change_min, block.unit);
    return next.d != state.d || next.dmin != state.dmin;
  }

  void descend(AffineState& state, int rounds) const {
    for (int round = 0; round < rounds; ++round) {
      AffineState next;
      if (!refit(state, next)) break;
      next.total = 0;
      for (int s = 0; s < block.subs; ++s) {
        next.sub[s] = best_pair(s, next.d, next.dmin, state.sub[s]);
        next.total += next.sub[s].error;
      }
      if (!(next.total < state.total)) break;
      state = next;
    }
  }

  bool has_coarse_scale(const AffineState& state) const {
    for (int s = 0; s < block.subs; ++s) {
      const bool flat = trials[s].spread[0] == 0;
      if (!flat && state.sub[s].scale < kCoarseScale) return true;
    }
    return false;
  }

  // One search: trials of the fan moved by `shift` with `cut` times the cuts, then the best start
  // among 16 pairs of places where the largest step and offset may lie in their ranges, refined.
  AffineState attempt(float shift, float cut, F16x scale_tops, F16x min_tops, int rounds) {
    float step_max = 0;
    float offset_max = 0;
    for (int s = 0; s < block.subs; ++s) {
      find_trials(s, shift, cut);
      const AffineTrials& t = trials[s];
      const int k = std::countr_zero(t.kept);
      step_max = t.step[k] > step_max ? t.step[k] : step_max;
      offset_max = t.offset[k] > offset_max ? t.offset[k] : offset_max;
    }
    const F16x d = half_above_zero(div(splat(step_max / integer_max), scale_tops), block.unit);
    const F16x dmin = half_above_zero(div(splat(offset_max / integer_max), min_tops), block.unit);
    const int lane = least_lane(model_totals(d, dmin));
    AffineState state = start(lane_of(d, lane), lane_of(dmin, lane));
    descend(state, rounds);
    return state;
  }

  AffineState run() {
    AffineState best = attempt(0, 1, load(kTopScale), load(kTopMin), 1);
    const bool nearly_exact = best.total < kNearlyExact * block.energy;
    const int more = nearly_exact ? kManyAttempts : has_coarse_scale(best) ? kMoreAttempts : 0;
    for (int k = 0; k < more; ++k) {
      // The tops of all attempts together are evenly spread over [1/2, 1].
      const float t = (static_cast<float>(k) + 0.5F) / static_cast<float>(more);
      const F16x tops = fan(1 - t / 32, 1 - (t + 15) / 32);
      const AffineState state =
          attempt(kAffineFanStep * t, 0.5F * static_cast<float>(k % 2), tops, tops, kManyRounds);
      if (state.total < best.total) best = state;
    }
    return best;
  }
};

BlockChoice search_affine(const BlockProblem& problem, int code_max, int integer_max) noexcept {
  ScaledBlock block;
  scale_block(problem, block);
  BlockChoice choice;
  if (block.empty) return choice;
  AffineSearch search{block, static_cast<float>(code_max), static_cast<float>(integer_max), {}};
  const AffineState state = search.run();
  choice.d = state.d * block.unit;
  choice.dmin = state.dmin * block.unit;
  for (int s = 0; s < block.subs; ++s) {
    choice.scale[s] = state.sub[s].scale;
    choice.min[s] = state.sub[s].min;
  }
  return choice;
}
