#include "eval/estimate.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/rng.h"

namespace karat::eval {

Estimate mean_of(std::span<const double> samples) {
  if (samples.empty()) return {};
  const double n = static_cast<double>(samples.size());
  double sum = 0, sum2 = 0;
  for (const double x : samples) sum += x, sum2 += x * x;
  const double mean = sum / n;
  if (samples.size() < 2) return {mean, 0};
  return {mean, std::sqrt(std::max(0.0, sum2 / n - mean * mean) / (n - 1))};
}

double covariance_of_means(std::span<const double> a, std::span<const double> b) {
  CHECK(a.size() == b.size());
  if (a.size() < 2) return 0;
  const double n = static_cast<double>(a.size());
  double sum_a = 0, sum_b = 0, sum_ab = 0;
  for (size_t i = 0; i < a.size(); ++i) sum_a += a[i], sum_b += b[i], sum_ab += a[i] * b[i];
  return (sum_ab / n - sum_a / n * (sum_b / n)) / (n - 1);
}

double percentile(std::span<const double> sorted, double share) {
  CHECK(!sorted.empty());
  const double at = share * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<size_t>(at);
  if (below + 1 >= sorted.size()) return sorted.back();
  const double part = at - static_cast<double>(below);
  return sorted[below] + part * (sorted[below + 1] - sorted[below]);
}

Interval bootstrap(int64_t groups, uint64_t seed,
                   const std::function<double(std::span<const int64_t>)>& statistic, int rounds) {
  CHECK(groups >= 1 && rounds >= 40);
  base::Rng rng(seed);
  std::vector<double> values;
  std::vector<int64_t> drawn(static_cast<size_t>(groups));
  for (int round = 0; round < rounds; ++round) {
    for (int64_t& group : drawn) {
      group = static_cast<int64_t>(rng.below(static_cast<uint64_t>(groups)));
    }
    values.push_back(statistic(drawn));
  }
  std::sort(values.begin(), values.end());
  return {percentile(values, 0.025), percentile(values, 0.975)};
}

}  // namespace karat::eval
