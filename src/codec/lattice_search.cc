#include "codec/lattice_search.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "base/half.h"
#include "codec/scalar_code.h"
#include "codec/table.h"

namespace karat::codec {
namespace {

constexpr size_t kFan = 16;
// Trial steps: the largest is amax / top level times kFanFirst, each next one less by kFanRatio;
// then kFan evenly spaced ones around the best.
constexpr float kFanFirst = 1.15F;
constexpr float kFanRatio = 0.87F;
constexpr float kFineStep = 0.0175F;
// Trial positions of the largest step among the scales' integers.
constexpr float kTopStep = 0.02F;
constexpr int kRounds = 3;

// Sums over a sub-block with its levels l in steps: w y l and w l^2. The error at a step is
// sum(w y^2) - step * (2 yl - step * ll).
struct Moments {
  float yl = 0;
  float ll = 0;
};

// The octet as the list sees it: magnitudes, with the one that takes the wrong sign negative.
uint8_t to_magnitudes(OctetState state, const float* x, const float* w, float* y) {
  if (state != OctetState::signs && state != OctetState::even_signs) {
    std::copy(x, x + kOctet, y);
    return 0;
  }
  unsigned signs = 0;
  for (int j = 0; j < kOctet; ++j) {
    y[j] = std::fabs(x[j]);
    signs |= static_cast<unsigned>(x[j] < 0) << j;
  }
  if (state == OctetState::even_signs && std::popcount(signs) % 2 != 0) {
    int least = 0;
    for (int j = 1; j < kOctet; ++j) {
      if (w[j] * y[j] < w[least] * y[least]) least = j;
    }
    signs ^= 1U << least;
    y[least] = -y[least];
  }
  return static_cast<uint8_t>(signs);
}

float positive_half(float value) {
  return std::max(base::f16_to_f32(base::f32_to_f16(std::min(value, base::kF16Max))), 0x1p-24F);
}

class LatticeSearch {
 public:
  LatticeSearch(const Lattice& lattice, const float* x, const float* w)
      : lattice_(lattice), f_(lattice.format()), w_(w), subs_(kBlockElemsMax / f_.sub_elems) {
    for (int i = 0; i < kBlockElemsMax; i += kOctet) {
      to_magnitudes(f_.state, x + i, w + i, &y_[static_cast<size_t>(i)]);
    }
  }
  Grid run();

 private:
  struct Fit {
    float step = 0;
    int delta = 0;
    float gain = 0;
  };
  using Steps = std::array<float, kFan>;
  struct State {
    float d = 0;
    std::array<int, kSubBlocksMax> scale{};
    std::array<Moments, kSubBlocksMax> moments{};
    double total = std::numeric_limits<double>::infinity();
  };

  const float* y(int s) const { return &y_[static_cast<size_t>(s * f_.sub_elems)]; }
  const float* w(int s) const { return w_ + s * f_.sub_elems; }
  float unit_of(int scale) const { return static_cast<float>(2 * scale + 1) * f_.unit; }
  void try_steps(int s, const Steps& steps, int delta, Fit* best) const;
  Fit fit_sub_block(int s) const;
  float round_sub_block(int s, float step, Moments* m) const;
  void round_all(State* state) const;
  int nearest_scale(float step, float d) const;
  double choose_scales(float d, State* state) const;
  bool choose_grid(State* state) const;

  const CodecTable& table_ = table();
  const Lattice& lattice_;
  const LatticeFormat& f_;
  const float* w_;
  int subs_;
  std::array<float, kBlockElemsMax> y_;
  std::array<int, kSubBlocksMax> delta_{};
};

void LatticeSearch::try_steps(int s, const Steps& steps, int delta, Fit* best) const {
  LatticeSums sums;
  table_.lattice_sums(lattice_.view(), delta, y(s), w(s), f_.sub_elems, steps.data(), sums);
  for (size_t k = 0; k < kFan; ++k) {
    if (!(sums.yl[k] > 0)) continue;
    const float step = sums.yl[k] / sums.ll[k];
    if (sums.yl[k] * step > best->gain) *best = {step, delta, sums.yl[k] * step};
  }
}

LatticeSearch::Fit LatticeSearch::fit_sub_block(int s) const {
  float largest = 0;
  for (int i = 0; i < f_.sub_elems; ++i) largest = std::max(largest, std::fabs(y(s)[i]));
  Fit best;
  if (largest == 0) return best;
  const int deltas = f_.state == OctetState::sub_block_delta ? 2 : 1;
  Steps steps;
  float step = kFanFirst * largest / lattice_.view().level[static_cast<size_t>(f_.top)];
  for (float& each : steps) {
    each = step;
    step *= kFanRatio;
  }
  for (int delta = 0; delta < deltas; ++delta) try_steps(s, steps, delta, &best);
  const float middle = best.step;
  for (size_t k = 0; k < kFan; ++k) {
    steps[k] = middle * (1 + kFineStep * (static_cast<float>(k) - 7.5F));
  }
  for (int delta = 0; delta < deltas; ++delta) try_steps(s, steps, delta, &best);
  return best;
}

float LatticeSearch::round_sub_block(int s, float step, Moments* m) const {
  LatticeRounding rounding;
  table_.lattice_round(lattice_.view(), delta_[static_cast<size_t>(s)], step, y(s), w(s),
                       f_.sub_elems, rounding);
  *m = {rounding.yl, rounding.ll};
  return rounding.error;
}

void LatticeSearch::round_all(State* state) const {
  state->total = 0;
  for (int s = 0; s < subs_; ++s) {
    const size_t i = static_cast<size_t>(s);
    state->total += static_cast<double>(
        round_sub_block(s, state->d * unit_of(state->scale[i]), &state->moments[i]));
  }
}

int LatticeSearch::nearest_scale(float step, float d) const {
  const float scale = round_even((step / (d * f_.unit) - 1) * 0.5F);
  return static_cast<int>(std::clamp(scale, 0.0F, static_cast<float>(f_.scale_max)));
}

// Best scales for the moments under d; the error less the constant sum(w y^2).
double LatticeSearch::choose_scales(float d, State* state) const {
  double total = 0;
  state->d = d;
  for (int s = 0; s < subs_; ++s) {
    const size_t i = static_cast<size_t>(s);
    const Moments& m = state->moments[i];
    const float best = m.yl > 0 ? m.yl / m.ll : 0.0F;
    state->scale[i] = nearest_scale(best, d);
    const float step = d * unit_of(state->scale[i]);
    total += static_cast<double>(step * (step * m.ll - 2 * m.yl));
  }
  return total;
}

// d and scales for the moments; false if these are those of the state already.
bool LatticeSearch::choose_grid(State* state) const {
  float step_max = 0;
  for (const Moments& m : state->moments) {
    if (m.yl > 0) step_max = std::max(step_max, m.yl / m.ll);
  }
  State best = *state;
  double least = std::numeric_limits<double>::infinity();
  const auto consider = [&](float d) {
    State trial = *state;
    const double total = choose_scales(d, &trial);
    if (total < least) {
      least = total;
      best = trial;
    }
    return trial;
  };
  const float d_least = step_max / unit_of(f_.scale_max);
  for (int k = -4; k < 12; ++k) {
    const State trial = consider(positive_half(d_least * (1 + kTopStep * static_cast<float>(k))));
    double num = 0, den = 0;
    for (int s = 0; s < subs_; ++s) {
      const size_t i = static_cast<size_t>(s);
      const double unit = static_cast<double>(unit_of(trial.scale[i]));
      num += unit * static_cast<double>(state->moments[i].yl);
      den += unit * unit * static_cast<double>(state->moments[i].ll);
    }
    if (num > 0) consider(positive_half(static_cast<float>(num / den)));
  }
  const bool changed = best.d != state->d || best.scale != state->scale;
  *state = best;
  return changed;
}

Grid LatticeSearch::run() {
  std::array<float, kSubBlocksMax> steps{};
  float step_max = 0;
  for (int s = 0; s < subs_; ++s) {
    const Fit fit = fit_sub_block(s);
    steps[static_cast<size_t>(s)] = fit.step;
    delta_[static_cast<size_t>(s)] = fit.delta;
    step_max = std::max(step_max, fit.step);
  }
  Grid grid;
  if (step_max == 0) return grid;
  State state;
  for (int s = 0; s < subs_; ++s) {
    const size_t i = static_cast<size_t>(s);
    const float step = std::max(steps[i], step_max / static_cast<float>(2 * f_.scale_max + 1));
    round_sub_block(s, step, &state.moments[i]);
  }
  choose_grid(&state);
  round_all(&state);
  State best = state;
  for (int round = 0; round < kRounds; ++round) {
    if (!choose_grid(&state)) break;
    round_all(&state);
    if (state.total >= best.total) break;
    best = state;
  }
  grid.d = base::f32_to_f16(best.d);
  for (int s = 0; s < subs_; ++s) {
    const size_t i = static_cast<size_t>(s);
    grid.scale[i] = static_cast<int16_t>(best.scale[i]);
    grid.min[i] = static_cast<int16_t>(delta_[i]);
    grid.step[i] = best.d * unit_of(best.scale[i]);
  }
  return grid;
}

}  // namespace

OctetChoice nearest_octet(const Lattice& lattice, float step, int delta, const float* x,
                          const float* w) {
  const LatticeFormat& format = lattice.format();
  float y[kOctet];
  const uint8_t signs = to_magnitudes(format.state, x, w, y);
  LatticeRounding rounding;
  table().lattice_round(lattice.view(), format.state == OctetState::sub_block_delta ? delta : 0,
                        step, y, w, kOctet, rounding);
  return {rounding.index[0], format.has_delta() ? rounding.kind[0] : signs};
}

Grid search_lattice(const Lattice& lattice, const float* x, const float* w) {
  return LatticeSearch(lattice, x, w).run();
}

}  // namespace karat::codec
