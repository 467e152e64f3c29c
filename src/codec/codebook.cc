#include "codec/codebook.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/half.h"
#include "codec/scalar_code.h"
#include "codec/table.h"

namespace karat::codec {
namespace {

using base::f16_to_f32;
using base::f32_to_f16;
using base::kF16Max;

constexpr size_t kFan = 16;  // steps that are looked at together
using Steps = std::array<float, kFan>;

// The range of the first guesses at single steps: the block's largest magnitude at these levels.
constexpr float kFanFirst = 90;
constexpr float kFanStep = 4;
constexpr int kRefits = 2;
// Starts of the two-level search: the integer that the largest step gets.
constexpr std::array kTops = {32.0F, 29.0F, 26.0F, 23.0F};
constexpr int kRounds = 3;
// Integers that are tried together, and how many of them below the one nearest to the fit.
constexpr float kTried = kFan / 2;
constexpr float kBelow = 3;
// Blocks that are representable but for the rounding of d (an error below this share of sum(w x^2))
// depend so much on a lucky d that they get many more starts.
constexpr double kNearlyExact = 1e-6;

template <size_t kLevels>
Codebook make_book(const std::array<float, kLevels>& levels, float first, float width) {
  Codebook book;
  book.first = first;
  book.inverse_width = 1 / width;
  for (size_t k = 0; k < 16; ++k) {
    const float middle = first + width * static_cast<float>(k);
    const float from = k == 0 ? levels[0] : middle - width / 2;
    const float to = k == 15 ? levels[kLevels - 1] : middle + width / 2;
    book.border[k] = 0;
    book.low[k] = book.high[k] = levels[0];
    for (size_t i = 0; i + 1 < kLevels; ++i) {
      const float border = (levels[i] + levels[i + 1]) / 2;
      if (border < from) book.low[k] = book.high[k] = levels[i + 1];
      if (border < from || border >= to) continue;
      book.border[k] = border;
      book.low[k] = levels[i];
      book.high[k] = levels[i + 1];
      break;
    }
  }
  return book;
}

// A half that is never zero, of either sign.
float nonzero_half(float value) {
  const float rounded = f16_to_f32(f32_to_f16(std::clamp(value, -kF16Max, kF16Max)));
  return rounded != 0 ? rounded : std::copysign(0x1p-24F, value);
}

float extreme(const float* x, int n) {
  float largest = 0;
  for (int i = 0; i < n; ++i) {
    if (std::fabs(x[i]) > std::fabs(largest)) largest = x[i];
  }
  return largest;
}

double energy(const float* x, const float* w, int n) {
  double sum = 0;
  for (int i = 0; i < n; ++i) {
    sum += static_cast<double>(w[i]) * static_cast<double>(x[i]) * static_cast<double>(x[i]);
  }
  return sum;
}

size_t index_of_least(const std::array<float, kFan>& errors) {
  return static_cast<size_t>(std::min_element(errors.begin(), errors.end()) - errors.begin());
}

struct Best {
  float step = 0;
  float error = 0;
};

// Keeps the best of the steps and returns the least-squares steps for the levels that each chose.
Steps try_steps(const LevelSums& sums, const Steps& steps, Best& best) {
  Steps refits;
  for (size_t i = 0; i < kFan; ++i) {
    if (sums.error[i] < best.error) best = {steps[i], sums.error[i]};
    refits[i] = sums.ll[i] > 0 ? sums.xl[i] / sums.ll[i] : steps[i];
  }
  return refits;
}

// Guesses that put the extreme value of a sub-block at each of a range of levels, with the steps
// that least squares gives for them.
Steps first_fits(const Codebook& book, const float* x, const float* w, int n, float extreme,
                 float sign) {
  Steps steps;
  for (size_t i = 0; i < kFan; ++i) {
    steps[i] = sign * extreme / (kFanFirst + kFanStep * static_cast<float>(i));
  }
  LevelSums sums;
  table().level_sums(book, x, w, n, steps.data(), sums);
  Best ignored;
  return try_steps(sums, steps, ignored);
}

// The best step of a sub-block under `rounded`, which says how steps are stored.
template <class Rounded>
Best fit_step(const Codebook& book, const float* x, const float* w, int n, Rounded rounded) {
  Best best{0, static_cast<float>(energy(x, w, n))};
  const float largest = extreme(x, n);
  if (largest == 0) return best;
  for (const float sign : {1.0F, -1.0F}) {
    Steps steps = first_fits(book, x, w, n, largest, sign);
    for (int round = 0; round < kRefits; ++round) {
      for (float& step : steps) step = rounded(step);
      LevelSums sums;
      table().level_sums(book, x, w, n, steps.data(), sums);
      steps = try_steps(sums, steps, best);
    }
  }
  return best;
}

// One block's search with a second level.
class CodebookSearch {
 public:
  CodebookSearch(const Codebook& book, const BlockProblem& problem, int integer_bound)
      : book_(book), p_(problem), bound_(static_cast<float>(integer_bound)) {}

  Grid run();

 private:
  struct State {
    float d = 0;
    std::array<float, kSubBlocksMax> scale{};
    std::array<float, kSubBlocksMax> errors{};
    std::array<float, kSubBlocksMax> xl{};  // as in LevelSums
    std::array<float, kSubBlocksMax> ll{};
    double error = 0;
  };

  const float* x(int s) const { return p_.x + s * p_.sub_elems; }
  const float* w(int s) const { return p_.w + s * p_.sub_elems; }
  void try_integers(State& state, int s, float first) const;
  State search_integers(float d, bool all) const;
  float refit_d(const State& state) const;
  State descend(State state, bool all) const;

  const Codebook& book_;
  BlockProblem p_;
  float bound_;
  std::array<Best, kSubBlocksMax> fits_{};
};

// Tries the integers from `first` on in magnitude, of both signs.
void CodebookSearch::try_integers(State& state, int s, float first) const {
  Steps integers;
  Steps steps;
  for (size_t i = 0; i < kFan; ++i) {
    const float magnitude = first + static_cast<float>(i / 2);
    integers[i] = std::clamp(i % 2 == 0 ? magnitude : -magnitude, -bound_, bound_ - 1);
    steps[i] = state.d * integers[i];
  }
  LevelSums sums;
  table().level_sums(book_, x(s), w(s), p_.sub_elems, steps.data(), sums);
  const size_t least = index_of_least(sums.error);
  const size_t sub = static_cast<size_t>(s);
  if (sums.error[least] >= state.errors[sub]) return;
  state.scale[sub] = integers[least];
  state.errors[sub] = sums.error[least];
  state.xl[sub] = sums.xl[least];
  state.ll[sub] = sums.ll[least];
}

// For each sub-block the best of the integers around its fit, or of all.
CodebookSearch::State CodebookSearch::search_integers(float d, bool all) const {
  State state;
  state.d = d;
  state.errors.fill(std::numeric_limits<float>::infinity());
  for (int s = 0; s < p_.subs; ++s) {
    const size_t sub = static_cast<size_t>(s);
    const float centre = round_even(std::fabs(fits_[sub].step) / std::fabs(d));
    if (all) {
      for (float first = 0; first <= bound_; first += kTried) try_integers(state, s, first);
    } else {
      try_integers(state, s, std::min(centre, bound_) - kBelow);
    }
    state.error += static_cast<double>(state.errors[sub]);
  }
  return state;
}

float CodebookSearch::refit_d(const State& state) const {
  double xl = 0;
  double ll = 0;
  for (size_t s = 0; s < static_cast<size_t>(p_.subs); ++s) {
    const double scale = static_cast<double>(state.scale[s]);
    xl += scale * static_cast<double>(state.xl[s]);
    ll += scale * scale * static_cast<double>(state.ll[s]);
  }
  return ll > 0 ? nonzero_half(static_cast<float>(xl / ll)) : state.d;
}

// Refits d to the levels and the integers to d while that helps.
CodebookSearch::State CodebookSearch::descend(State state, bool all) const {
  for (int round = 0; round < kRounds; ++round) {
    const float d = refit_d(state);
    if (d == state.d) break;
    const State next = search_integers(d, all);
    if (next.error >= state.error) break;
    state = next;
  }
  return state;
}

Grid CodebookSearch::run() {
  float largest = 0;
  double blank = 0;
  for (int s = 0; s < p_.subs; ++s) {
    const size_t sub = static_cast<size_t>(s);
    blank += energy(x(s), w(s), p_.sub_elems);
    fits_[sub] = fit_step(book_, x(s), w(s), p_.sub_elems, [](float step) { return step; });
    if (std::fabs(fits_[sub].step) > std::fabs(largest)) largest = fits_[sub].step;
  }
  Grid grid;
  if (largest == 0) return grid;
  State best;
  best.error = blank;
  const auto start_from = [&](float top, bool all) {
    const State state = descend(search_integers(nonzero_half(largest / -top), all), all);
    if (state.error < best.error) best = state;
  };
  for (const float top : kTops) start_from(top, false);
  if (best.error < kNearlyExact * blank) {
    for (float top = bound_; top > bound_ / 2; top -= 0.5F) start_from(top, true);
  }
  for (size_t s = 0; s < static_cast<size_t>(p_.subs); ++s) {
    grid.scale[s] = static_cast<int16_t>(best.scale[s]);
    grid.step[s] = best.d * best.scale[s];
    if (grid.scale[s] != 0) grid.d = f32_to_f16(best.d);
  }
  return grid;
}

}  // namespace

const Codebook& iq4_book() {
  static const Codebook book = [] {
    std::array<float, 16> levels;
    std::copy(kIq4Levels.begin(), kIq4Levels.end(), levels.begin());
    return make_book(levels, -100.2F, 12.4F);
  }();
  return book;
}

const Codebook& fp4_book() {
  static const Codebook book = [] {
    std::array<float, 8> levels;
    std::copy_n(kFp4Levels.begin(), 8, levels.begin());
    return make_book(levels, 0, 1);
  }();
  return book;
}

float nearest_level(const Codebook& book, float t) {
  const float cell = t * book.inverse_width - book.first * book.inverse_width;
  const size_t k = static_cast<size_t>(round_even(std::clamp(cell, 0.0F, 15.0F)));
  return t < book.border[k] ? book.low[k] : book.high[k];
}

uint16_t search_codebook_single(const Codebook& book, const float* x, const float* w, int n) {
  return f32_to_f16(fit_step(book, x, w, n, nonzero_half).step);
}

Grid search_codebook(const Codebook& book, const BlockProblem& problem, int integer_bound) {
  return CodebookSearch(book, problem, integer_bound).run();
}

size_t best_step(const Codebook& book, const float* x, const float* w, int n,
                 std::span<const float> steps) {
  Steps all;
  for (size_t i = 0; i < kFan; ++i) all[i] = steps[std::min(i, steps.size() - 1)];
  LevelSums sums;
  table().level_sums(book, x, w, n, all.data(), sums);
  return index_of_least(sums.error);
}

}  // namespace karat::codec
