// CodecTable::search_single and search_single_affine: no second level, so the trials' least-squares
// fits, rounded to halves, are judged by the true error at once. Per element 4 groups of 16 lanes
// (symmetric: 2 of trials with 6 products and 4 sums, 2 of errors with 5 and 5). Bound: the
// arithmetic.

// Trial roundings are (code_bound - 1 + t) / largest magnitude, or (code_max + t) / range, for t in
// these fans.
constexpr float kSingleFanFirst = -3.0F;
constexpr float kSingleFanStep = 5.5F / 15;
constexpr float kSingleAffineFirst = -1.0F;
constexpr float kSingleAffineLast = 2.0F;
// The first start is from the least value as offset, the next from the best offset so far; in each
// the trials are rounded so many times.
constexpr int kSingleAffineStarts = 3;
constexpr int kSingleAffinePasses = 3;

// How many interleaved fans of each sign; how often their trials are rounded, the first time as the
// fan says, then at the halves that least squares gave; whether the halves next to the best are
// tried.
struct SingleEffort {
  int groups;
  int passes;
  bool neighbours;
};
// Above so many codes of either sign little is left to find.
constexpr int kFineCodes = 16;
constexpr SingleEffort kFineEffort = {1, 1, false};
constexpr SingleEffort kCoarseEffort = {2, 2, true};

template <class Levels>
BlockChoice search_single_levels(const BlockProblem& problem, const Levels& levels,
                                 const Reach& reach, const SingleEffort& effort) {
  ScaledBlock block;
  scale_block(problem, block);
  BlockChoice choice;
  if (block.empty) return choice;
  const int n = block.subs * block.n;
  const F16x forward = fan(reach.first, reach.first + 15 * reach.step);
  float best = block.energy;  // of a step of zero
  float best_d = 0;
  const auto judge = [&](F16x d) {
    const F16x error = nearest_errors(block.x, block.w, n, d, splat(0), levels);
    const int lane = least_lane(error);
    if (lane_of(error, lane) < best) {
      best = lane_of(error, lane);
      best_d = lane_of(d, lane);
    }
  };
  for (int group = 0; group < 2 * effort.groups; ++group) {
    const float sign = group % 2 == 0 ? 1.0F : -1.0F;
    const float shift = static_cast<float>(group / 2) / static_cast<float>(effort.groups);
    F16x inverse = mul(add(forward, splat(shift * reach.step)), splat(sign / block.largest));
    for (int pass = 0; pass < effort.passes; ++pass) {
      const SymmetricTrial trial = try_symmetric(block.x, block.w, n, 0, inverse, levels);
      const F16x d = mul(half_above_zero(abs(trial.step), block.unit), splat(sign));
      judge(d);
      inverse = div(splat(1), d);
    }
  }
  if (effort.neighbours && best_d != 0) {
    const F16x near = mul(fan(1 - 7 * 0x1p-11F, 1 + 8 * 0x1p-11F), splat(std::fabs(best_d)));
    judge(mul(half_above_zero(near, block.unit), splat(best_d < 0 ? -1.0F : 1.0F)));
  }
  choice.d = best_d * block.unit;
  return choice;
}

BlockChoice search_single(const BlockProblem& problem, int code_bound) noexcept {
  const float high = static_cast<float>(code_bound - 1);
  const bool fine = code_bound > kFineCodes;
  return search_single_levels(problem, EvenLevels{-high - 1, high},
                              {high + kSingleFanFirst, kSingleFanStep, high},
                              fine ? kFineEffort : kCoarseEffort);
}

BlockChoice search_single_affine(const BlockProblem& problem, int code_max) noexcept {
  ScaledBlock block;
  scale_block(problem, block);
  BlockChoice choice;
  if (block.empty) return choice;
  const int n = block.subs * block.n;
  const float top = static_cast<float>(code_max);
  F16x lows = load(block.x), highs = lows;
  for (int i = 16; i < n; i += 16) {
    lows = min(lows, load(block.x + i));
    highs = max(highs, load(block.x + i));
  }
  const float low = least(lows);
  const float high = largest(highs);
  if (high == low) {
    choice.dmin = lane_of(half_near(splat(low), block.unit), 0) * block.unit;
    return choice;
  }
  const FixedSums fixed = fixed_sums(block.x, block.w, n);
  const F16x codes = add(splat(top), fan(kSingleAffineFirst, kSingleAffineLast));
  float best = kNever;
  float best_offset = -low;
  for (int start = 0; start < kSingleAffineStarts; ++start) {
    F16x offset = splat(best_offset);
    F16x inverse = mul(codes, splat(1 / (high + best_offset)));
    for (int pass = 0; pass < kSingleAffinePasses; ++pass) {
      const AffineTrial trial = try_affine<true>(block.x, block.w, n, fixed, inverse, offset, top);
      const F16x d = half_above_zero(trial.step, block.unit);
      offset = half_near(trial.offset, block.unit);
      inverse = div(splat(1), d);
      const F16x error = nearest_errors(block.x, block.w, n, d, offset, EvenLevels{0, top});
      const int lane = least_lane(error);
      if (lane_of(error, lane) < best) {
        best = lane_of(error, lane);
        best_offset = lane_of(offset, lane);
        choice.d = lane_of(d, lane) * block.unit;
        choice.dmin = -best_offset * block.unit;
      }
    }
  }
  return choice;
}
