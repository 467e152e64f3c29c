// CodecTable::search_symmetric (search.h explains the method). Per element and sub-block two
// groups of trial roundings (6 products and 4 sums per lane each) and one group of true errors
// (5 and 5) per round of step 3; the rest is per sub-block. Bound: the arithmetic.

// Trial roundings are (code_bound + t) / largest magnitude for t in this fan, which is for 32 codes
// of either sign and narrows with the root of their number; one group for each sign: a negative
// step gives positive values the extra code.
constexpr float kSymmetricFanFirst = -6.2F;
constexpr float kSymmetricFanStep = 0.85F;
constexpr int kSymmetricGroups = 2;
constexpr int kSymmetricTrials = 16 * kSymmetricGroups;
// As kTrialKeep and kTrialsKept of the affine search.
constexpr float kSymmetricKeep[] = {1.5F, 1.25F, 1.12F, 1.06F};
constexpr int kSymmetricKept = 8;
// Where the scale of the largest magnitude, were it at the first code, lies in the range of the
// integers: evenly spaced.
constexpr float kSymmetricTopFirst = 0.75F;
constexpr float kSymmetricTopLast = 1.0F;
// With fewer integers than this of either sign, d decides more: so many attempts more.
constexpr float kManyIntegers = 64;
constexpr int kFewIntegersAttempts = 3;
// The scales of step 3 about the model's, with both signs.
alignas(64) constexpr float kScaleNear[16] = {0, -1, 1, -2, 2, -3, 3, 4, 0, -1, 1, -2, 2, -3, 3, 4};
alignas(64) constexpr float kScaleSign[16] = {1,  1,  1,  1,  1,  1,  1,  1,
                                              -1, -1, -1, -1, -1, -1, -1, -1};

// Trial roundings of one sub-block: least-squares step, the error there, the weighted sum of the
// codes' squares. Bit k of `kept`: the model looks at trial k.
struct SymmetricTrials {
  uint32_t kept;
  float energy;  // sum w x^2, the error of a scale of zero
  alignas(64) float step[kSymmetricTrials];
  alignas(64) float error[kSymmetricTrials];
  alignas(64) float squares[kSymmetricTrials];
};

struct SymmetricState {
  float d;
  float total;
  float scale[kSubBlocksMax];
};

struct SymmetricTrial {
  F16x step, error, squares;
};

// Least squares for the levels nearest to x * inverse; `energy` is sum w x^2.
template <class Levels>
ISA_INLINE SymmetricTrial try_symmetric(const float* x, const float* w, int n, float energy,
                                        F16x inverse, const Levels& levels) {
  F16x sll = splat(0), sxl = sll;
  for (int i = 0; i < n; ++i) {
    const F16x value = splat(x[i]);
    const F16x code = levels.nearest(mul(value, inverse));
    const F16x weighted = mul(splat(w[i]), code);
    sll = add(sll, mul(weighted, code));
    sxl = add(sxl, mul(weighted, value));
  }
  const M16x fits = less(splat(0), sll);
  const F16x step = div(sxl, select(fits, sll, splat(1)));
  const F16x error = max(sub(splat(energy), mul(step, sxl)), splat(1e-12F * energy));
  return {step, select(fits, error, splat(kNever)), sll};
}

// Where the largest magnitude shall lie among the levels: a fan of trials, and the place that fills
// the range of the integers.
struct Reach {
  float first;
  float step;
  float top;
};

template <class Levels>
struct SymmetricSearch {
  const ScaledBlock& block;
  Levels levels;
  Reach reach;
  float integer_bound;
  SymmetricTrials trials[kSubBlocksMax];

  const float* x(int s) const { return block.x + s * block.n; }
  const float* w(int s) const { return block.w + s * block.n; }

  static uint32_t choose_trials(const F16x* error) {
    const float best = least(min(error[0], error[1]));
    uint32_t kept = 0;
    for (const float factor : kSymmetricKeep) {
      kept = 0;
      const F16x bound = splat(best * factor);
      kept = (~lane_bits(less(bound, error[0])) & 0xffffU) | ~lane_bits(less(bound, error[1]))
                                                                 << 16;
      if (std::popcount(kept) <= kSymmetricKept) break;
    }
    return kept;
  }

  void find_trials(int s, float shift) {
    SymmetricTrials& out = trials[s];
    F16x most = splat(0), sums = splat(0);
    for (int i = 0; i < block.n; i += 16) {
      const F16x value = load(x(s) + i);
      most = max(abs(value), most);
      sums = add(sums, mul(load(w(s) + i), mul(value, value)));
    }
    const float top = largest(most);
    const float energy = sum(sums);
    out.energy = energy;
    if (top == 0) {
      out.kept = 1;
      out.step[0] = out.error[0] = out.squares[0] = 0;
      return;
    }
    F16x error[kSymmetricGroups];
    const float first = reach.first + shift * reach.step;
    const F16x forward = mul(fan(first, first + 15 * reach.step), splat(1 / top));
    for (int g = 0; g < kSymmetricGroups; ++g) {
      const F16x inverse = g == 0 ? forward : sub(splat(0), forward);
      const SymmetricTrial t = try_symmetric(x(s), w(s), block.n, energy, inverse, levels);
      store(out.step + 16 * g, t.step);
      store(out.error + 16 * g, t.error);
      store(out.squares + 16 * g, t.squares);
      error[g] = t.error;
    }
    out.kept = choose_trials(error);
  }

  ISA_INLINE F16x nearest_scale(F16x step, F16x inverse_d) const {
    return clamp(round_even(mul(step, inverse_d)), splat(-integer_bound), splat(integer_bound - 1));
  }

  // Of 16 block scales.
  F16x model_totals(F16x d) const {
    const F16x inverse_d = div(splat(1), d);
    F16x total = splat(0);
    for (int s = 0; s < block.subs; ++s) {
      const SymmetricTrials& t = trials[s];
      F16x best = splat(kNever);
      for (uint32_t left = t.kept; left != 0; left &= left - 1) {
        const int k = std::countr_zero(left);
        const F16x step = splat(t.step[k]);
        const F16x miss = sub(mul(d, nearest_scale(step, inverse_d)), step);
        best = min(best, add(splat(t.error[k]), mul(mul(miss, miss), splat(t.squares[k]))));
      }
      total = add(total, best);
    }
    return total;
  }

  // The model's best scale.
  float model_scale(int s, float d) const {
    const SymmetricTrials& t = trials[s];
    if (t.squares[0] == 0) return 0;
    const F16x inverse_d = splat(1 / d);
    F16x best = splat(kNever), best_scale = splat(0);
    for (int k = 0; k < kSymmetricTrials; k += 16) {
      const F16x step = load(t.step + k);
      const F16x scale = nearest_scale(step, inverse_d);
      const F16x miss = sub(mul(splat(d), scale), step);
      const F16x error = add(load(t.error + k), mul(mul(miss, miss), load(t.squares + k)));
      const M16x better = less(error, best);
      best = select(better, error, best);
      best_scale = select(better, scale, best_scale);
    }
    return lane_of(best_scale, least_lane(best));
  }

  // The best of 16 scales by the true error, `near` and its neighbours with either sign; returns
  // the error.
  float best_scale(int s, float d, float near, float& scale) const {
    const F16x size = add(splat(std::fabs(near)), load(kScaleNear));
    const F16x tried =
        clamp(mul(size, load(kScaleSign)), splat(-integer_bound), splat(integer_bound - 1));
    const F16x error =
        nearest_errors(x(s), w(s), block.n, step_of(splat(d), tried), splat(0), levels);
    const int lane = least_lane(error);
    const float least_error = lane_of(error, lane);
    const float energy = trials[s].energy;
    scale = least_error < energy ? lane_of(tried, lane) : 0;
    return least_error < energy ? least_error : energy;
  }

  SymmetricState start(float d) const {
    SymmetricState state;
    state.d = d;
    state.total = 0;
    for (int s = 0; s < block.subs; ++s) {
      state.total += best_scale(s, d, model_scale(s, d), state.scale[s]);
    }
    return state;
  }

  // Least-squares d with codes and scales fixed, rounded to a half.
  float refit(const SymmetricState& state) const {
    double aa = 0, xa = 0;
    for (int s = 0; s < block.subs; ++s) {
      if (state.scale[s] == 0) continue;
      const double scale = static_cast<double>(state.scale[s]);
      const ResidualSums m =
          residual_sums(x(s), w(s), block.n, state.d * state.scale[s], 0, levels);
      aa += scale * scale * static_cast<double>(m.ll);
      xa += scale * static_cast<double>(m.le);
    }
    return refit_half(state.d, aa > 0 ? xa / aa : 0, block.unit);
  }

  void descend(SymmetricState& state, int rounds) const {
    for (int round = 0; round < rounds; ++round) {
      SymmetricState next;
      next.d = refit(state);
      if (next.d == state.d) break;
      next.total = 0;
      for (int s = 0; s < block.subs; ++s) {
        next.total += best_scale(s, next.d, state.scale[s], next.scale[s]);
      }
      if (!(next.total < state.total)) break;
      state = next;
    }
  }

  bool has_coarse_scale(const SymmetricState& state) const {
    for (int s = 0; s < block.subs; ++s) {
      const bool empty = trials[s].squares[0] == 0;
      if (!empty && std::fabs(state.scale[s]) < kCoarseScale) return true;
    }
    return false;
  }

  // One search: trials of the fan moved by `shift`, then the best start among 16 places where the
  // largest magnitude may lie in the range of the integers, refined.
  SymmetricState attempt(float shift, F16x tops, int rounds) {
    for (int s = 0; s < block.subs; ++s) find_trials(s, shift);
    const float step = block.largest / (reach.top * integer_bound);
    const F16x d = half_above_zero(div(splat(step), tops), block.unit);
    SymmetricState state = start(lane_of(d, least_lane(model_totals(d))));
    descend(state, rounds);
    return state;
  }

  SymmetricState run() {
    SymmetricState best = attempt(0, fan(kSymmetricTopFirst, kSymmetricTopLast), 2);
    const bool nearly_exact = best.total < kNearlyExact * block.energy;
    const int few = integer_bound < kManyIntegers ? kFewIntegersAttempts : 0;
    const int more = nearly_exact ? kManyAttempts : has_coarse_scale(best) ? kMoreAttempts : few;
    for (int k = 0; k < more; ++k) {
      // The tops of all attempts together are evenly spread over [1/2, 1].
      const float t = (static_cast<float>(k) + 0.5F) / static_cast<float>(more);
      const SymmetricState state = attempt(t, fan(1 - t / 32, 1 - (t + 15) / 32), kManyRounds);
      if (state.total < best.total) best = state;
    }
    return best;
  }
};

template <class Levels>
BlockChoice search_levels(const BlockProblem& problem, const Levels& levels, const Reach& reach,
                          int integer_bound) {
  ScaledBlock block;
  scale_block(problem, block);
  BlockChoice choice;
  if (block.empty) return choice;
  SymmetricSearch<Levels> search{block, levels, reach, static_cast<float>(integer_bound), {}};
  const SymmetricState state = search.run();
  choice.d = state.d * block.unit;
  for (int s = 0; s < block.subs; ++s) choice.scale[s] = state.scale[s];
  return choice;
}

BlockChoice search_symmetric(const BlockProblem& problem, int code_bound,
                             int integer_bound) noexcept {
  const float bound = static_cast<float>(code_bound);
  const float width = std::sqrt(bound / 32);
  return search_levels(problem, EvenLevels{-bound, bound - 1},
                       {bound + kSymmetricFanFirst * width, kSymmetricFanStep * width, bound},
                       integer_bound);
}
