#include "codec/search.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "base/half.h"
#include "codec/lanes.h"

namespace karat::codec {
namespace {

// Weighted sums over one sub-block with its codes l: all that a least-squares fit needs.
struct Moments {
  double w = 0, wx = 0, wl = 0, wll = 0, wxl = 0;
};

// How far a search looks, in units of the stored integers around the first guess. Wider finds more:
// each integer is another pattern of roundings. The widths are where time and gain balance.
struct IntegerRange {
  int below;
  int above;
};
constexpr IntegerRange kAffineFirst = {-8, 4};
constexpr IntegerRange kSymmetricFirst = {-18, 20};
constexpr IntegerRange kNextRange = {-2, 2};  // after a refit of the block scales
// A scale whose best min is worse than the best pair so far by this factor is not looked at closer.
constexpr float kNearby = 2;

// The fan of trial roundings: this many steps of the inverse scale either way, in code units, and
// refits to the codes that the best of them gives.
constexpr int kFanSteps = 9;
constexpr float kFanStep = 0.1F;
constexpr int kPolish = 4;
// Q8_0's fan.
constexpr std::array kSingleFan = {-3.0F, -2.0F, -1.0F, -0.75F, -0.5F, -0.25F,
                                   0.0F,  0.25F, 0.5F,  0.75F,  1.0F,  2.0F};

// The starts: where the largest step and offset of the block lie in the range of their integers.
struct Tops {
  float scale;
  float min;
};
constexpr std::array kAffineTops = {Tops{1.0F, 1.0F}, Tops{0.985F, 0.95F}, Tops{0.97F, 0.985F},
                                    Tops{0.95F, 0.97F}};
constexpr std::array kSymmetricTops = {0.9F, 0.8F};
// At most this many refits of the block scales from the best start.
constexpr int kRounds = 4;

// Two kinds of blocks depend so much on a lucky d that they get many more starts: those that are
// representable but for the rounding of d (an error below this share of sum(w x^2)), and those
// where a sub-block beside an outlier is left with a scale of a few units.
constexpr double kNearlyExact = 1e-6;
constexpr float kCoarseInteger = 4;

struct Affine {
  float step = 0;
  float offset = 0;
};

struct CodeRange {
  float low;
  float high;
};

// Sum of w * (x - value)^2 with each element at its nearest code of value = step * code - offset.
float nearest_error(const float* x, const float* w, int n, Affine grid, CodeRange range) {
  const float inverse = grid.step != 0 ? 1.0F / grid.step : 0.0F;
  const Lanes inverses = all_lanes(inverse);
  const Lanes offsets = all_lanes(grid.offset);
  const Lanes steps = all_lanes(grid.step);
  const Lanes low = all_lanes(range.low);
  const Lanes high = all_lanes(range.high);
  Lanes sum = all_lanes(0);
  for (int i = 0; i < n; i += kLanes) {
    const Lanes shifted = load_lanes(x + i) + offsets;
    const Lanes code = round_lanes(min_lanes(max_lanes(shifted * inverses, low), high));
    const Lanes error = shifted - code * steps;
    sum += load_lanes(w + i) * (error * error);
  }
  return sum_lanes(sum);
}

// The moments of the codes nearest to (x + offset) * inverse.
Moments code_moments(const float* x, const float* w, int n, float inverse, float offset,
                     CodeRange range) {
  Lanes sw = all_lanes(0), swx = sw, swl = sw, swll = sw, swxl = sw;
  for (int i = 0; i < n; i += kLanes) {
    const Lanes value = load_lanes(x + i);
    const Lanes weight = load_lanes(w + i);
    const Lanes scaled = (value + all_lanes(offset)) * all_lanes(inverse);
    const Lanes code =
        round_lanes(min_lanes(max_lanes(scaled, all_lanes(range.low)), all_lanes(range.high)));
    const Lanes weighted = weight * code;
    sw += weight;
    swx += weight * value;
    swl += weighted;
    swll += weighted * code;
    swxl += weighted * value;
  }
  return {static_cast<double>(sum_lanes(sw)), static_cast<double>(sum_lanes(swx)),
          static_cast<double>(sum_lanes(swl)), static_cast<double>(sum_lanes(swll)),
          static_cast<double>(sum_lanes(swxl))};
}

// Least-squares step and offset >= 0 for fixed codes; `gain` is how much of sum(w x^2) they
// explain.
struct AffineFit {
  Affine grid;
  double gain = 0;
};
AffineFit fit_affine(const Moments& m) {
  const double det = m.w * m.wll - m.wl * m.wl;
  double step = 0;
  double offset = 0;
  if (det > 0) {
    step = (m.w * m.wxl - m.wx * m.wl) / det;
    offset = (m.wl * m.wxl - m.wll * m.wx) / det;
  }
  if (det <= 0 || offset < 0) {
    offset = 0;
    step = m.wll > 0 ? m.wxl / m.wll : 0;
  }
  return {{static_cast<float>(step), static_cast<float>(offset)}, step * m.wxl - offset * m.wx};
}

float max_abs(const float* x, int n) {
  float largest = 0;
  for (int i = 0; i < n; ++i) largest = std::max(largest, std::fabs(x[i]));
  return largest;
}

double energy(const BlockProblem& p) {
  double sum = 0;
  for (int i = 0; i < p.subs * p.sub_elems; ++i) {
    sum += static_cast<double>(p.w[i]) * static_cast<double>(p.x[i]) * static_cast<double>(p.x[i]);
  }
  return sum;
}

constexpr double kNever = std::numeric_limits<double>::infinity();

template <class State>
void keep_better(State& best, const State& state) {
  if (state.total < best.total) best = state;
}

// A half that is never zero: a block scale of zero would erase the block.
float positive_half(double value) {
  const float rounded =
      base::f16_to_f32(base::f32_to_f16(std::min(static_cast<float>(value), base::kF16Max)));
  return std::max(rounded, 0x1p-24F);
}

// One block's affine search.
class AffineSearch {
 public:
  AffineSearch(const BlockProblem& problem, int code_max, int integer_max)
      : p_(problem),
        codes_{0, static_cast<float>(code_max)},
        integer_max_(static_cast<float>(integer_max)) {}

  Grid run();

 private:
  struct State {
    float d = 0;
    float dmin = 0;
    std::array<float, kSubBlocksMax> scale{};
    std::array<float, kSubBlocksMax> min{};
    std::array<float, kSubBlocksMax> error{};
    double total = 0;
  };

  const float* x(int s) const { return p_.x + s * p_.sub_elems; }
  const float* w(int s) const { return p_.w + s * p_.sub_elems; }
  Affine fit_sub_block(int s) const;
  float try_pair(State& state, int s, float scale, float min) const;
  void search_integers(State& state, int s, Affine near, IntegerRange range) const;
  void search_all(State& state) const;
  bool refit_block_scales(State& state) const;
  State start(float d, float dmin, double bound) const;
  void descend(State& state) const;
  bool has_coarse_integer(const State& state) const;
  Grid to_grid(const State& state) const;

  BlockProblem p_;
  CodeRange codes_;
  float integer_max_;
  std::array<Affine, kSubBlocksMax> fits_{};
};

// Least squares for a fan of roundings around (max - min) / code_max, as the reference's.
Affine AffineSearch::fit_sub_block(int s) const {
  float low = 0;
  float high = x(s)[0];
  for (int i = 0; i < p_.sub_elems; ++i) {
    low = std::min(low, x(s)[i]);
    high = std::max(high, x(s)[i]);
  }
  if (high <= low) return {0, -low};
  AffineFit best{{(high - low) / codes_.high, -low}, -1};
  const auto fan = [&](float offset) {
    for (int t = -kFanSteps; t <= kFanSteps; ++t) {
      const float inverse = (codes_.high + kFanStep * static_cast<float>(t)) / (high - low);
      const AffineFit fit =
          fit_affine(code_moments(x(s), w(s), p_.sub_elems, inverse, offset, codes_));
      if (fit.gain > best.gain && fit.grid.step > 0) best = fit;
    }
  };
  fan(-low);
  fan(best.grid.offset);
  for (int round = 0; round < kPolish; ++round) {
    const AffineFit fit = fit_affine(
        code_moments(x(s), w(s), p_.sub_elems, 1.0F / best.grid.step, best.grid.offset, codes_));
    if (!(fit.gain > best.gain && fit.grid.step > 0)) break;
    best = fit;
  }
  return best.grid;
}

float AffineSearch::try_pair(State& state, int s, float scale, float min) const {
  min = std::clamp(min, 0.0F, integer_max_);
  const float error =
      nearest_error(x(s), w(s), p_.sub_elems, {state.d * scale, state.dmin * min}, codes_);
  const size_t i = static_cast<size_t>(s);
  if (error < state.error[i]) {
    state.error[i] = error;
    state.scale[i] = scale;
    state.min[i] = min;
  }
  return error;
}

// The best stored pair along the valley through `near`: a larger step wants a larger offset, so for
// each scale the mins around the one that keeps the weighted mean; the neighbours only where the
// middle comes close to the best so far.
void AffineSearch::search_integers(State& state, int s, Affine near, IntegerRange range) const {
  const float centre = std::clamp(round_even(near.step / state.d), 0.0F, integer_max_);
  const float inverse = near.step > 0 ? 1.0F / near.step : 0.0F;
  const Moments m = code_moments(x(s), w(s), p_.sub_elems, inverse, near.offset, codes_);
  const float mean_code = static_cast<float>(m.wl / m.w);
  const float mean_value = static_cast<float>(m.wx / m.w);
  for (int a = range.below; a <= range.above; ++a) {
    const float scale = centre + static_cast<float>(a);
    if (scale < 0 || scale > integer_max_) continue;
    const float step = state.d * scale;
    const float middle = round_even((step * mean_code - mean_value) / state.dmin);
    const float error = try_pair(state, s, scale, middle);
    if (error > kNearby * state.error[static_cast<size_t>(s)]) continue;
    try_pair(state, s, scale, middle - 1);
    try_pair(state, s, scale, middle + 1);
  }
}

void AffineSearch::search_all(State& state) const {
  state.total = 0;
  for (int s = 0; s < p_.subs; ++s) {
    const size_t i = static_cast<size_t>(s);
    search_integers(state, s, {state.d * state.scale[i], state.dmin * state.min[i]}, kNextRange);
    state.total += static_cast<double>(state.error[i]);
  }
}

// Least-squares d and dmin with codes and integers fixed, rounded to halves; false if they are
// already those. On return the errors are the nearest codes' under the new scales.
bool AffineSearch::refit_block_scales(State& state) const {
  double aa = 0, ab = 0, bb = 0, xa = 0, xb = 0;
  for (int s = 0; s < p_.subs; ++s) {
    const size_t i = static_cast<size_t>(s);
    const float step = state.d * state.scale[i];
    const Moments m = code_moments(x(s), w(s), p_.sub_elems, step > 0 ? 1.0F / step : 0.0F,
                                   state.dmin * state.min[i], codes_);
    const double scale = static_cast<double>(state.scale[i]);
    const double min = static_cast<double>(state.min[i]);
    aa += scale * scale * m.wll;
    ab += scale * min * m.wl;
    bb += min * min * m.w;
    xa += scale * m.wxl;
    xb += min * m.wx;
  }
  const double det = aa * bb - ab * ab;
  double d = static_cast<double>(state.d);
  double dmin = static_cast<double>(state.dmin);
  if (det > 1e-9 * aa * bb) {
    d = (xa * bb - xb * ab) / det;
    dmin = (xa * ab - xb * aa) / det;
  } else if (aa > 0) {
    d = (xa + dmin * ab) / aa;
  }
  const float new_d = d > 0 ? positive_half(d) : state.d;
  const float new_dmin = dmin > 0 ? positive_half(dmin) : state.dmin;
  if (new_d == state.d && new_dmin == state.dmin) return false;
  state.d = new_d;
  state.dmin = new_dmin;
  for (int s = 0; s < p_.subs; ++s) {
    const size_t i = static_cast<size_t>(s);
    state.error[i] = nearest_error(x(s), w(s), p_.sub_elems,
                                   {state.d * state.scale[i], state.dmin * state.min[i]}, codes_);
  }
  return true;
}

AffineSearch::State AffineSearch::start(float d, float dmin, double bound) const {
  State state;
  state.d = d;
  state.dmin = dmin;
  for (int s = 0; s < p_.subs; ++s) {
    const size_t i = static_cast<size_t>(s);
    state.scale[i] = std::clamp(round_even(fits_[i].step / d), 0.0F, integer_max_);
    state.min[i] = std::clamp(round_even(fits_[i].offset / dmin), 0.0F, integer_max_);
    state.error[i] =
        nearest_error(x(s), w(s), p_.sub_elems, {d * state.scale[i], dmin * state.min[i]}, codes_);
    search_integers(state, s, fits_[i], kAffineFirst);
    state.total += static_cast<double>(state.error[i]);
    if (state.total >= bound) break;
  }
  return state;
}

void AffineSearch::descend(State& state) const {
  for (int round = 0; round < kRounds; ++round) {
    State next = state;
    if (!refit_block_scales(next)) break;
    search_all(next);
    if (next.total >= state.total) break;
    state = next;
  }
}

bool AffineSearch::has_coarse_integer(const State& state) const {
  for (size_t s = 0; s < static_cast<size_t>(p_.subs); ++s) {
    if (fits_[s].step > 0 && state.scale[s] < kCoarseInteger) return true;
  }
  return false;
}

// A block scale that nothing uses is stored as zero.
Grid AffineSearch::to_grid(const State& state) const {
  Grid grid;
  for (size_t s = 0; s < static_cast<size_t>(p_.subs); ++s) {
    grid.scale[s] = static_cast<int16_t>(state.scale[s]);
    grid.min[s] = static_cast<int16_t>(state.min[s]);
    grid.step[s] = state.d * state.scale[s];
    grid.offset[s] = state.dmin * state.min[s];
    if (grid.scale[s] != 0) grid.d = base::f32_to_f16(state.d);
    if (grid.min[s] != 0) grid.dmin = base::f32_to_f16(state.dmin);
  }
  return grid;
}

Grid AffineSearch::run() {
  float step_max = 0;
  float offset_max = 0;
  for (int s = 0; s < p_.subs; ++s) {
    const Affine fit = fit_sub_block(s);
    fits_[static_cast<size_t>(s)] = fit;
    step_max = std::max(step_max, fit.step);
    offset_max = std::max(offset_max, fit.offset);
  }
  const auto start_from = [&](Tops tops, double bound) {
    return start(positive_half(static_cast<double>(step_max / (integer_max_ * tops.scale))),
                 positive_half(static_cast<double>(offset_max / (integer_max_ * tops.min))), bound);
  };
  State best;
  best.total = kNever;
  for (const Tops tops : kAffineTops) keep_better(best, start_from(tops, best.total));
  descend(best);
  if (best.total < kNearlyExact * energy(p_) || has_coarse_integer(best)) {
    for (float top = integer_max_; top > integer_max_ / 2; top -= 0.5F) {
      State state = start_from({top / integer_max_, top / integer_max_}, kNever);
      descend(state);
      keep_better(best, state);
    }
  }
  return to_grid(best);
}

// One block's symmetric search with second-level integers.
class SymmetricSearch {
 public:
  SymmetricSearch(const BlockProblem& problem, int code_bound, int integer_bound)
      : p_(problem),
        codes_{static_cast<float>(-code_bound), static_cast<float>(code_bound - 1)},
        integer_bound_(static_cast<float>(integer_bound)) {}

  Grid run();

 private:
  struct State {
    float d = 0;
    std::array<float, kSubBlocksMax> scale{};
    std::array<float, kSubBlocksMax> error{};
    double total = 0;
  };

  const float* x(int s) const { return p_.x + s * p_.sub_elems; }
  const float* w(int s) const { return p_.w + s * p_.sub_elems; }
  void try_scale(State& state, int s, float scale) const;
  void search_integers(State& state, int s, float centre, IntegerRange range) const;
  double refit_d(const State& state) const;
  State start(float d, double bound) const;
  void descend(State& state) const;
  bool has_coarse_integer(const State& state) const;

  BlockProblem p_;
  CodeRange codes_;
  float integer_bound_;
};

void SymmetricSearch::try_scale(State& state, int s, float scale) const {
  if (scale < -integer_bound_ || scale > integer_bound_ - 1) return;
  const float error = nearest_error(x(s), w(s), p_.sub_elems, {state.d * scale, 0}, codes_);
  const size_t i = static_cast<size_t>(s);
  if (error < state.error[i]) {
    state.error[i] = error;
    state.scale[i] = scale;
  }
}

// Both orientations: a negative scale gives positive values the extra code.
void SymmetricSearch::search_integers(State& state, int s, float centre, IntegerRange range) const {
  for (int a = range.below; a <= range.above; ++a) {
    const float scale = centre + static_cast<float>(a);
    try_scale(state, s, scale);
    try_scale(state, s, -scale);
  }
}

double SymmetricSearch::refit_d(const State& state) const {
  double aa = 0, xa = 0;
  for (int s = 0; s < p_.subs; ++s) {
    const size_t i = static_cast<size_t>(s);
    const float step = state.d * state.scale[i];
    if (step == 0) continue;
    const Moments m = code_moments(x(s), w(s), p_.sub_elems, 1.0F / step, 0, codes_);
    const double scale = static_cast<double>(state.scale[i]);
    aa += scale * scale * m.wll;
    xa += scale * m.wxl;
  }
  return aa > 0 ? xa / aa : 0;
}

SymmetricSearch::State SymmetricSearch::start(float d, double bound) const {
  State state;
  state.d = d;
  for (int s = 0; s < p_.subs; ++s) {
    const size_t i = static_cast<size_t>(s);
    state.error[i] = nearest_error(x(s), w(s), p_.sub_elems, {0, 0}, codes_);
    const float centre = round_even(max_abs(x(s), p_.sub_elems) / (-codes_.low * d));
    search_integers(state, s, std::min(centre, integer_bound_), kSymmetricFirst);
    state.total += static_cast<double>(state.error[i]);
    if (state.total >= bound) break;
  }
  return state;
}

void SymmetricSearch::descend(State& state) const {
  for (int round = 0; round < kRounds; ++round) {
    State next = state;
    const double refit = refit_d(state);
    next.d = refit > 0 ? positive_half(refit) : state.d;
    if (next.d == state.d) break;
    next.total = 0;
    for (int s = 0; s < p_.subs; ++s) {
      const size_t i = static_cast<size_t>(s);
      next.error[i] = nearest_error(x(s), w(s), p_.sub_elems, {next.d * next.scale[i], 0}, codes_);
      search_integers(next, s, std::fabs(next.scale[i]), kNextRange);
      next.total += static_cast<double>(next.error[i]);
    }
    if (next.total >= state.total) break;
    state = next;
  }
}

bool SymmetricSearch::has_coarse_integer(const State& state) const {
  for (int s = 0; s < p_.subs; ++s) {
    const bool empty = max_abs(x(s), p_.sub_elems) == 0;
    if (!empty && std::fabs(state.scale[static_cast<size_t>(s)]) < kCoarseInteger) return true;
  }
  return false;
}

Grid SymmetricSearch::run() {
  const float largest = max_abs(p_.x, p_.subs * p_.sub_elems);
  const double unit = static_cast<double>(largest) / static_cast<double>(-codes_.low);
  const auto start_from = [&](float top, double bound) {
    return start(positive_half(unit / static_cast<double>(top)), bound);
  };
  State best;
  best.total = kNever;
  for (const float top : kSymmetricTops) {
    keep_better(best, start_from(integer_bound_ * top, best.total));
  }
  descend(best);
  if (best.total < kNearlyExact * energy(p_) || has_coarse_integer(best)) {
    for (float top = integer_bound_; top > integer_bound_ / 2; top -= 1) {
      State state = start_from(top, kNever);
      descend(state);
      keep_better(best, state);
    }
  }
  Grid grid;
  for (size_t s = 0; s < static_cast<size_t>(p_.subs); ++s) {
    grid.scale[s] = static_cast<int16_t>(best.scale[s]);
    grid.step[s] = best.d * best.scale[s];
    if (grid.scale[s] != 0) grid.d = base::f32_to_f16(best.d);
  }
  return grid;
}

}  // namespace

Grid search_affine(const BlockProblem& problem, int code_max, int integer_max) {
  return AffineSearch(problem, code_max, integer_max).run();
}

Grid search_symmetric(const BlockProblem& problem, int code_bound, int integer_bound) {
  return SymmetricSearch(problem, code_bound, integer_bound).run();
}

Grid search_single(const BlockProblem& p, int code_bound) {
  const CodeRange codes{static_cast<float>(-code_bound), static_cast<float>(code_bound - 1)};
  const int n = p.subs * p.sub_elems;
  const float largest = max_abs(p.x, n);
  float best_d = 0;
  float best_error = nearest_error(p.x, p.w, n, {0, 0}, codes);
  const auto try_d = [&](float d) {
    const float error = nearest_error(p.x, p.w, n, {d, 0}, codes);
    if (error < best_error) {
      best_error = error;
      best_d = d;
    }
  };
  for (const float t : kSingleFan) {
    const float inverse = (codes.high + t) / largest;
    const Moments m = code_moments(p.x, p.w, n, inverse, 0, codes);
    const float d = positive_half(m.wll > 0 ? m.wxl / m.wll : 0);
    try_d(d);
    try_d(-d);
  }
  if (largest == 0) best_d = 0;
  Grid grid;
  grid.d = base::f32_to_f16(best_d);
  grid.step[0] = best_d;
  return grid;
}

}  // namespace karat::codec
