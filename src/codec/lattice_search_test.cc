#include "codec/lattice_search.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <vector>

#include "base/rng.h"
#include "codec/distortion.h"
#include "codec/table.h"

namespace karat::codec {
namespace {

using tensor::DType;

constexpr DType kTypes[] = {DType::iq2_xxs, DType::iq2_xs, DType::iq2_s, DType::iq3_xxs,
                            DType::iq3_s,   DType::iq1_s,  DType::iq1_m};

const Lattice& lattice_of(DType type) {
  return dynamic_cast<const LatticeCodec&>(codec_for(type)).lattice();
}

// Heavy-tailed values of both signs.
std::vector<float> random_values(size_t n, uint64_t seed) {
  base::Rng rng(seed);
  std::vector<float> x(n);
  for (float& value : x) {
    double sum = 0;
    for (int i = 0; i < 4; ++i) sum += rng.uniform() - 0.5;
    value = static_cast<float>(sum / std::sqrt(rng.uniform() + 0.05));
  }
  return x;
}

std::vector<float> random_weights(size_t n, uint64_t seed) {
  base::Rng rng(seed);
  std::vector<float> w(n);
  for (float& value : w) value = static_cast<float>(std::exp(4 * rng.uniform() - 2));
  return w;
}

using Octet = std::array<Code, kOctet>;

double error_of(const float* x, const float* w, float step, const Octet& codes) {
  double sum = 0;
  for (size_t j = 0; j < codes.size(); ++j) {
    const double error = static_cast<double>(step) * codes[j] - static_cast<double>(x[j]);
    sum += static_cast<double>(w[j]) * error * error;
  }
  return sum;
}

// The signs of x on the magnitudes of codes; where their number must be even and is not, the one
// of least w * |x| the other way, as lattice_search.h says.
Octet signed_like(const LatticeFormat& format, const float* x, const float* w, Octet codes) {
  size_t least = 0;
  int negative = 0;
  for (size_t j = 0; j < codes.size(); ++j) {
    if (w[j] * std::fabs(x[j]) < w[least] * std::fabs(x[least])) least = j;
    if (x[j] < 0) codes[j] = -codes[j];
    negative += x[j] < 0;
  }
  if (format.state == OctetState::even_signs && negative % 2 != 0) codes[least] = -codes[least];
  return codes;
}

// The least error of all points of one part of an octet; other elements are not looked at.
double least_of_part(const LatticeFormat& format, int part, uint8_t delta, float step,
                     const float* x, const float* w) {
  double least = std::numeric_limits<double>::infinity();
  for (size_t i = 0; i < format.points.size(); ++i) {
    const uint16_t index = static_cast<uint16_t>(i);
    Octet codes;
    octet_codes(format, {{index, index}, delta}, codes.data());
    if (!format.has_delta()) codes = signed_like(format, x, w, codes);
    std::array<float, kOctet> only{};
    std::copy_n(w + part * format.point_coords, format.point_coords,
                only.begin() + part * format.point_coords);
    least = std::min(least, error_of(x, only.data(), step, codes));
  }
  return least;
}

double least_error(const LatticeFormat& format, int delta, float step, const float* x,
                   const float* w) {
  const auto least_with = [&](int d) {
    double sum = 0;
    for (int part = 0; part * format.point_coords < kOctet; ++part) {
      sum += least_of_part(format, part, static_cast<uint8_t>(d), step, x, w);
    }
    return sum;
  };
  if (format.state == OctetState::delta) return std::min(least_with(0), least_with(1));
  return least_with(format.has_delta() ? delta : 0);
}

TEST(LatticeSearch, NoPointIsNearerThanTheNearestOctet) {
  for (const DType type : kTypes) {
    const Lattice& lattice = lattice_of(type);
    const LatticeFormat& format = lattice.format();
    const float top = static_cast<float>(format.level[static_cast<size_t>(format.top)]);
    for (uint64_t trial = 0; trial < 60; ++trial) {
      const std::vector<float> x = random_values(kOctet, 100 + trial);
      const std::vector<float> w = random_weights(kOctet, 300 + trial);
      const int delta = static_cast<int>(trial % 2);
      const float step = (0.5F + 0.05F * static_cast<float>(trial)) / top;
      const OctetChoice choice = nearest_octet(lattice, step, delta, x.data(), w.data());
      if (format.state == OctetState::even_signs) {
        EXPECT_EQ(std::popcount(choice.state) % 2, 0) << tensor::info(type).name;
      }
      Octet codes;
      octet_codes(format, choice, codes.data());
      const double least = least_error(format, delta, step, x.data(), w.data());
      // Sums of at most 8 terms of 4 roundings each, of which those of the winner count.
      EXPECT_LE(error_of(x.data(), w.data(), step, codes), least * (1 + 24 * 0x1p-24))
          << tensor::info(type).name;
    }
  }
}

// A block's grid is in the middle of the valley that d runs through, with every octet rounded anew.
TEST(LatticeSearch, NeighbouringBlockScalesAreNotBetter) {
  for (const DType type : kTypes) {
    const Codec& codec = codec_for(type);
    const std::vector<float> x = random_values(kBlockElemsMax, 7);
    const std::vector<float> w = random_weights(kBlockElemsMax, 8);
    const Grid chosen = codec.choose_grid(x.data(), w.data());
    const auto error_under = [&](const Grid& grid) {
      std::vector<Code> codes(kBlockElemsMax);
      std::vector<float> values(kBlockElemsMax);
      for (int i = 0; i < kBlockElemsMax; i += kOctet) {
        const size_t at = static_cast<size_t>(i);
        codec.round(grid, i, &x[at], &w[at], &codes[at], &values[at]);
      }
      return distortion(x, values, w).error;
    };
    const double ours = error_under(chosen);
    for (const float factor : {0.5F, 0.9F, 1.1F, 2.0F}) {
      Grid other = chosen;
      for (float& step : other.step) step *= factor;
      EXPECT_LE(ours, error_under(other)) << codec.info().name << " " << factor;
    }
  }
}

std::vector<float> everything(const CodecTable& t, const LatticeView& view, const float* y,
                              const float* w, int n, const float* steps, int kind) {
  LatticeSums sums;
  t.lattice_sums(view, kind, y, w, n, steps, sums);
  LatticeRounding rounding;
  t.lattice_round(view, kind, steps[3], y, w, n, 1e30F, rounding);
  std::vector<float> all = {rounding.yl, rounding.ll, rounding.error};
  all.insert(all.end(), sums.yl.begin(), sums.yl.end());
  all.insert(all.end(), sums.ll.begin(), sums.ll.end());
  for (size_t o = 0; o < static_cast<size_t>(n / kOctet); ++o) {
    for (const unsigned part : {unsigned{rounding.index[o][0]}, unsigned{rounding.index[o][1]},
                                unsigned{rounding.kind[o]}}) {
      all.push_back(static_cast<float>(part));
    }
  }
  return all;
}

TEST(LatticeSearch, EveryInstructionSetComputesTheSameBits) {
  for (const DType type : kTypes) {
    const LatticeView& view = lattice_of(type).view();
    const float top = view.level[static_cast<size_t>(view.top)];
    for (uint64_t trial = 0; trial < 50; ++trial) {
      const int n = trial % 3 == 0 ? 8 : trial % 3 == 1 ? 16 : 32;
      const std::vector<float> y = random_values(static_cast<size_t>(n), trial);
      const std::vector<float> w = random_weights(static_cast<size_t>(n), trial);
      std::array<float, 16> steps;
      for (size_t k = 0; k < steps.size(); ++k) {
        steps[k] = (0.2F + 0.2F * static_cast<float>(k)) / top;
      }
      for (const int kind : {0, 1}) {
        const auto want = everything(table_for(simd::Isa::scalar), view, y.data(), w.data(), n,
                                     steps.data(), kind);
        for (const simd::Isa isa : simd::supported()) {
          EXPECT_EQ(everything(table_for(isa), view, y.data(), w.data(), n, steps.data(), kind),
                    want)
              << simd::name_of(isa) << " " << tensor::info(type).name;
        }
      }
    }
  }
}

// The moments and the error of a rounding are those of the levels that its indices name.
TEST(LatticeSearch, SumsOfARounding) {
  for (const DType type : kTypes) {
    const Lattice& lattice = lattice_of(type);
    const std::vector<float> y = random_values(32, 21);
    const std::vector<float> w = random_weights(32, 22);
    const float step = 0.7F / lattice.view().level[static_cast<size_t>(lattice.view().top)];
    LatticeRounding rounding;
    table().lattice_round(lattice.view(), 1, step, y.data(), w.data(), 32, 1e30F, rounding);
    double yl = 0, ll = 0, error = 0, magnitude = 0;
    for (size_t o = 0; o < 4; ++o) {
      Octet codes;
      const uint8_t delta = lattice.format().has_delta() ? rounding.kind[o] : uint8_t{0};
      octet_codes(lattice.format(), {rounding.index[o], delta}, codes.data());
      for (size_t j = 0; j < codes.size(); ++j) {
        const double weight = static_cast<double>(w[8 * o + j]);
        const double value = static_cast<double>(y[8 * o + j]);
        const double difference = value - static_cast<double>(step) * codes[j];
        yl += weight * value * codes[j];
        ll += weight * codes[j] * codes[j];
        error += weight * difference * difference;
        magnitude += std::fabs(weight * value * codes[j]);
      }
    }
    // A term is rounded three times, and added to four others and through the tree; a difference
    // loses up to two roundings of the value itself.
    const double bound = 12 * 0x1p-24;
    EXPECT_NEAR(static_cast<double>(rounding.yl), yl, bound * magnitude);
    EXPECT_NEAR(static_cast<double>(rounding.ll), ll, bound * ll);
    EXPECT_NEAR(static_cast<double>(rounding.error), error,
                bound * (error + static_cast<double>(step) * (2 * magnitude)));
  }
}

}  // namespace
}  // namespace karat::codec
