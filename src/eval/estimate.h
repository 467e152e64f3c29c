// Numbers with their error bars.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

namespace karat::eval {

struct Estimate {
  double value = 0;
  double error = 0;  // standard error
};

// Mean of the samples and its standard error under independence (llama-perplexity's formula: sqrt
// of (E[x^2] - E[x]^2) / (n - 1)); error 0 for fewer than two.
Estimate mean_of(std::span<const double> samples);
// Covariance of the two means, with the same 1/(n - 1).
double covariance_of_means(std::span<const double> a, std::span<const double> b);

// The value at `share` (0..1) of the sorted samples, interpolated linearly at share * (n - 1).
double percentile(std::span<const double> sorted, double share);

struct Interval {
  double low = 0, high = 0;
};

// 95 % percentile interval of `statistic` by a bootstrap over groups (tokens of one chunk are not
// independent): each of `rounds` resamples draws as many groups as there are, with replacement. The
// statistic is called with the drawn groups' indices. Reproducible from the seed.
Interval bootstrap(int64_t groups, uint64_t seed,
                   const std::function<double(std::span<const int64_t> drawn)>& statistic,
                   int rounds = 2000);

}  // namespace karat::eval
