#include "eval/paired.h"

#include <algorithm>
#include <limits>

#include "base/error.h"

namespace karat::eval {

namespace {

double mean_at(std::span<const double> values, std::span<const int64_t> drawn) {
  double sum = 0;
  for (const int64_t i : drawn) sum += values[static_cast<size_t>(i)];
  return sum / static_cast<double>(drawn.size());
}

// Of the means less the floor's; nothing if a resample has no positive denominator.
std::optional<Ratio> ratio_of(std::span<const double> a, std::span<const double> b,
                              std::span<const double> floor, uint64_t seed) {
  bool defined = true;
  const auto statistic = [&](std::span<const int64_t> drawn) {
    const double under = floor.empty() ? 0 : mean_at(floor, drawn);
    const double denominator = mean_at(b, drawn) - under;
    defined = defined && denominator > 0;
    return defined ? (mean_at(a, drawn) - under) / denominator : 0;
  };
  std::vector<int64_t> all(a.size());
  for (size_t i = 0; i < all.size(); ++i) all[i] = static_cast<int64_t>(i);
  const double value = statistic(all);
  const Interval interval = bootstrap(static_cast<int64_t>(a.size()), seed, statistic);
  return defined ? std::optional(Ratio{value, interval}) : std::nullopt;
}

}  // namespace

PairedComparison compare_paired(std::span<const double> a, std::span<const double> b,
                                std::span<const double> floor, uint64_t seed) {
  CHECK(!a.empty() && a.size() == b.size() && (floor.empty() || floor.size() == a.size()));
  PairedComparison result;
  result.difference = mean_of(a).value - mean_of(b).value;
  result.difference_interval = bootstrap(
      static_cast<int64_t>(a.size()), seed,
      [&](std::span<const int64_t> drawn) { return mean_at(a, drawn) - mean_at(b, drawn); });
  result.ratio = ratio_of(a, b, {}, seed);
  if (!floor.empty()) result.above_floor = ratio_of(a, b, floor, seed);
  return result;
}

}  // namespace karat::eval
