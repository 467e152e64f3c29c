// CodecTable::search_single and search_single_affine: no second level, so the trials' least-squares
// fits, rounded to halves, are judged by the true error at once. Per element 4 groups of 16 lanes
// (symmetric: 2 of trials with 6 products and 4 sums, 2 of errors with 5 and 5). Bound: the
// arithmetic.

// Trial roundings are (code_bound - 1 + t) / largest magnitude, or (code_max + t) / range, for t in
// these fans.
constexpr float kSingleFanFirst = -3.0F;
constexpr float kSingleFanLast = 2.5F;
constexpr float kSingleAffineFirst = -1.0F;
constexpr float kSingleAffineLast = 2.0F;

BlockChoice search_single(const BlockProblem& problem, int code_bound) noexcept {
  ScaledBlock block;
  scale_block(problem, block);
  BlockChoice choice;
  if (block.empty) return choice;
  const int n = block.subs * block.n;
  const float high = static_cast<float>(code_bound - 1);
  const float low = -high - 1;
  F16x most = splat(0);
  for (int i = 0; i < n; i += 16) most = max(abs(load(block.x + i)), most);
  const F16x forward =
      mul(add(splat(high), fan(kSingleFanFirst, kSingleFanLast)), splat(1 / largest(most)));
  float best = kNever;
  for (const float sign : {1.0F, -1.0F}) {
    const F16x inverse = mul(forward, splat(sign));
    const SymmetricTrial trial = try_symmetric(block.x, block.w, n, 0, inverse, low, high);
    const F16x d = mul(half_above_zero(abs(trial.step), block.unit), splat(sign));
    const F16x error = nearest_errors(block.x, block.w, n, d, splat(0), low, high);
    const int lane = least_lane(error);
    if (lane_of(error, lane) < best) {
      best = lane_of(error, lane);
      choice.d = lane_of(d, lane) * block.unit;
    }
  }
  return choice;
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
  const float range = largest(highs) - low;
  if (range == 0) {
    choice.dmin = lane_of(half_near(splat(low), block.unit), 0) * block.unit;
    return choice;
  }
  const FixedSums fixed = fixed_sums(block.x, block.w, n);
  F16x inverse = mul(add(splat(top), fan(kSingleAffineFirst, kSingleAffineLast)), splat(1 / range));
  F16x offset = splat(-low);
  float best = kNever;
  for (int pass = 0; pass < 2; ++pass) {
    const AffineTrial trial = try_affine<true>(block.x, block.w, n, fixed, inverse, offset, top);
    const F16x d = half_above_zero(trial.step, block.unit);
    offset = half_near(trial.offset, block.unit);
    inverse = div(splat(1), d);
    const F16x error = nearest_errors(block.x, block.w, n, d, offset, 0, top);
    const int lane = least_lane(error);
    if (lane_of(error, lane) < best) {
      best = lane_of(error, lane);
      choice.d = lane_of(d, lane) * block.unit;
      choice.dmin = -lane_of(offset, lane) * block.unit;
    }
  }
  return choice;
}
