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

constexpr size_t kFan = 16;  // steps, or d, that a vectorised search tries at once
// Trial steps: the largest is that of the largest magnitude at the top level times kFanFirst, each
// next one less by kFanRatio.
constexpr float kFanFirst = 1.15F;
constexpr float kFanRatio = 0.87F;
// Trial d, in units of the one that puts the largest step on the largest scale.
constexpr float kTopFirst = 0.92F;
constexpr float kTopStep = 0.02F;
// Scales of a sub-block for which all points are compared: those whose coarsely chosen points have
// an error of up to the margin times the least. IQ1's three levels gain less from more trials.
constexpr size_t kTrials = 8;
constexpr float kMargin = 1.5F;
constexpr float kTernaryMargin = 1.3F;

constexpr float kNever = std::numeric_limits<float>::infinity();

// Sums over a sub-block with its levels l: w y l and w l^2. The error at a step is
// sum(w y^2) + step * (step * ll - 2 yl).
struct Moments {
  float yl = 0;
  float ll = 0;
  float error(float step) const { return step * (step * ll - 2 * yl); }  // less sum(w y^2)
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
      : lattice_(lattice),
        f_(lattice.format()),
        w_(w),
        subs_(kBlockElemsMax / f_.sub_elems),
        deltas_(f_.state == OctetState::sub_block_delta ? 2 : 1) {
    for (int i = 0; i < kBlockElemsMax; i += kOctet) {
      to_magnitudes(f_.state, x + i, w + i, &y_[static_cast<size_t>(i)]);
    }
  }
  Grid run();

 private:
  using Steps = std::array<float, kFan>;
  using Trials = std::array<float, 2 * kFan>;  // by scale, and kFan on for a negative delta
  struct State {
    float d = 0;
    std::array<int, kSubBlocksMax> scale{};
    std::array<int, kSubBlocksMax> delta{};
    std::array<Moments, kSubBlocksMax> moments{};
  };

  const float* y(int s) const { return &y_[static_cast<size_t>(s * f_.sub_elems)]; }
  const float* w(int s) const { return w_ + s * f_.sub_elems; }
  float unit_of(int scale) const { return static_cast<float>(2 * scale + 1) * f_.unit; }
  float energy(int s) const;
  Moments fit_sub_block(int s) const;
  Trials coarse_errors(int s, float d) const;
  void choose_points(State* state) const;
  int nearest_scale(float step, float d) const;
  float fixed_error(const State& state) const;
  bool choose_scales(State* state) const;

  const CodecTable& table_ = table();
  const Lattice& lattice_;
  const LatticeFormat& f_;
  const float* w_;
  int subs_;
  int deltas_;  // that a sub-block chooses from
  std::array<float, kBlockElemsMax> y_;
};

// The moments under the trial step that explains most.
Moments LatticeSearch::fit_sub_block(int s) const {
  float largest = 0;
  for (int i = 0; i < f_.sub_elems; ++i) largest = std::max(largest, std::fabs(y(s)[i]));
  Moments best;
  if (largest == 0) return best;
  Steps steps;
  float step = kFanFirst * largest / lattice_.view().level[static_cast<size_t>(f_.top)];
  for (float& each : steps) {
    each = step;
    step *= kFanRatio;
  }
  float gain = 0;
  for (int delta = 0; delta < deltas_; ++delta) {
    LatticeSums sums;
    table_.lattice_sums(lattice_.view(), delta, y(s), w(s), f_.sub_elems, steps.data(), sums);
    for (size_t k = 0; k < kFan; ++k) {
      if (!(sums.yl[k] > 0)) continue;
      const float explained = sums.yl[k] * (sums.yl[k] / sums.ll[k]);
      if (explained <= gain) continue;
      gain = explained;
      best = {sums.yl[k], sums.ll[k]};
    }
  }
  return best;
}

// The errors of coarsely chosen points under every scale and delta, less sum(w y^2).
LatticeSearch::Trials LatticeSearch::coarse_errors(int s, float d) const {
  Trials errors;
  errors.fill(kNever);
  Steps steps;
  for (size_t k = 0; k < kFan; ++k) {
    steps[k] = d * unit_of(std::min(static_cast<int>(k), f_.scale_max));
  }
  for (int delta = 0; delta < deltas_; ++delta) {
    LatticeSums sums;
    table_.lattice_sums(lattice_.view(), delta, y(s), w(s), f_.sub_elems, steps.data(), sums);
    for (size_t k = 0; k <= static_cast<size_t>(f_.scale_max); ++k) {
      errors[static_cast<size_t>(delta) * kFan + k] =
          Moments{sums.yl[k], sums.ll[k]}.error(steps[k]);
    }
  }
  return errors;
}

float LatticeSearch::energy(int s) const {
  float sum = 0;
  for (int i = 0; i < f_.sub_elems; ++i) sum += w(s)[i] * (y(s)[i] * y(s)[i]);
  return sum;
}

// Scales, deltas and moments under d.
void LatticeSearch::choose_points(State* state) const {
  for (int s = 0; s < subs_; ++s) {
    const size_t i = static_cast<size_t>(s);
    float least = kNever;
    Trials errors = coarse_errors(s, state->d);
    const float constant = energy(s);
    const float margin = f_.has_delta() ? kTernaryMargin : kMargin;
    const float most = margin * (*std::min_element(errors.begin(), errors.end()) + constant);
    for (size_t t = 0; t < kTrials; ++t) {
      const auto next = std::min_element(errors.begin(), errors.end());
      if (*next + constant > most) break;
      *next = kNever;
      const int at = static_cast<int>(next - errors.begin());
      const int scale = at % static_cast<int>(kFan);
      const int delta = at / static_cast<int>(kFan);
      LatticeRounding rounding;
      table_.lattice_round(lattice_.view(), delta, state->d * unit_of(scale), y(s), w(s),
                           f_.sub_elems, least, rounding);
      if (rounding.error >= least) continue;
      least = rounding.error;
      state->scale[i] = scale;
      state->delta[i] = delta;
      state->moments[i] = {rounding.yl, rounding.ll};
    }
  }
}

int LatticeSearch::nearest_scale(float step, float d) const {
  const float scale = round_even(step * (0.5F / (d * f_.unit)) - 0.5F);
  return static_cast<int>(std::clamp(scale, 0.0F, static_cast<float>(f_.scale_max)));
}

// Of the points that the moments are of.
float LatticeSearch::fixed_error(const State& state) const {
  float sum = 0;
  for (size_t s = 0; s < static_cast<size_t>(subs_); ++s) {
    sum += state.moments[s].error(state.d * unit_of(state.scale[s]));
  }
  return sum;
}

// d and scales for the moments where they are better than the state's; false if no step explains
// anything. Each trial d is refitted to the scales that it gives, as a half.
bool LatticeSearch::choose_scales(State* state) const {
  LatticeScales problem;
  problem.subs = subs_;
  problem.unit = f_.unit;
  problem.scale_max = static_cast<float>(f_.scale_max);
  float step_max = 0;
  for (size_t s = 0; s < static_cast<size_t>(subs_); ++s) {
    const Moments& m = state->moments[s];
    problem.step[s] = m.yl > 0 ? m.yl / m.ll : 0.0F;
    problem.yl[s] = m.yl;
    problem.ll[s] = m.ll;
    step_max = std::max(step_max, problem.step[s]);
  }
  if (step_max == 0) return false;
  const float d_least = step_max / unit_of(f_.scale_max);
  Steps d;
  for (size_t k = 0; k < kFan; ++k) {
    d[k] = d_least * (kTopFirst + kTopStep * static_cast<float>(k));
  }
  LatticeScaleFits fits;
  table_.lattice_scales(problem, d.data(), fits);
  for (size_t k = 0; k < kFan; ++k) d[k] = positive_half(std::max(fits.d[k], 0.0F));
  table_.lattice_scales(problem, d.data(), fits);
  size_t best = 0;
  for (size_t k = 1; k < kFan; ++k) {
    if (fits.error[k] < fits.error[best]) best = k;
  }
  if (state->d > 0 && !(fits.error[best] < fixed_error(*state))) return true;
  state->d = d[best];
  for (size_t s = 0; s < static_cast<size_t>(subs_); ++s) {
    state->scale[s] = nearest_scale(problem.step[s], state->d);
  }
  return true;
}

Grid LatticeSearch::run() {
  State state;
  for (int s = 0; s < subs_; ++s) state.moments[static_cast<size_t>(s)] = fit_sub_block(s);
  if (!choose_scales(&state)) return {};
  choose_points(&state);
  choose_scales(&state);
  Grid grid;
  grid.d = base::f32_to_f16(state.d);
  for (size_t s = 0; s < static_cast<size_t>(subs_); ++s) {
    grid.scale[s] = static_cast<int16_t>(state.scale[s]);
    grid.min[s] = static_cast<int16_t>(state.delta[s]);
    grid.step[s] = state.d * unit_of(state.scale[s]);
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
                        step, y, w, kOctet, kNever, rounding);
  return {rounding.index[0], format.has_delta() ? rounding.kind[0] : signs};
}

LatticeBlock nearest_octets(const Lattice& lattice, const Grid& grid, const float* x,
                            const float* w) {
  const LatticeFormat& format = lattice.format();
  LatticeBlock content;
  std::array<float, kBlockElemsMax> y;
  for (size_t o = 0; o < kOctets; ++o) {
    content.state[o] = to_magnitudes(format.state, x + kOctet * o, w + kOctet * o, &y[kOctet * o]);
  }
  const size_t octets = static_cast<size_t>(format.sub_elems / kOctet);  // of a sub-block
  for (size_t o = 0; o < kOctets; o += octets) {
    const size_t s = o / octets;
    LatticeRounding rounding;
    table().lattice_round(lattice.view(), grid.min[s], grid.step[s], &y[kOctet * o], w + kOctet * o,
                          format.sub_elems, kNever, rounding);
    for (size_t k = 0; k < octets; ++k) {
      content.index[o + k] = rounding.index[k];
      if (format.has_delta()) content.state[o + k] = rounding.kind[k];
    }
  }
  return content;
}

Grid search_lattice(const Lattice& lattice, const float* x, const float* w) {
  return LatticeSearch(lattice, x, w).run();
}

}  // namespace karat::codec
