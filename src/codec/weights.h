// How the grid searches weigh each element's squared error. One place, so that a rule can be
// replaced by measurement.
#pragma once

#include <span>

namespace karat::codec {

// Importance q of a column times a factor that grows with the element's own magnitude: an outlier's
// error reaches the output together with its neighbours', which the diagonal q alone misses
// (FORMATS.md 3.1; ik_llama.cpp#140 calls the factor empirical).
enum class WeightRule {
  // q, or 1 without importance.
  importance,
  // With importance q * sqrt(2 * mean(x^2) + x^2), the mean over 256 elements and q conditioned
  // (condition_weights over the row); without it sqrt(mean(x^2)) + |x|, the mean over 32.
  magnitude,
};

// x.size() == w.size(), a multiple of 256 for `magnitude`; importance is empty or has as many.
void weigh(WeightRule rule, std::span<const float> x, std::span<const float> importance,
           std::span<float> w);

// The reference's rule for the other formats: with importance q * sqrt(factor * mean(x^2) + x^2),
// the mean over each `block` elements and q conditioned over the row; 1 without. x.size() ==
// w.size(), a multiple of `block`, and that of 16.
void weigh_by_size(float factor, size_t block, std::span<const float> x,
                   std::span<const float> importance, std::span<float> w);

// Copies n weights so that a least-squares fit over them is well-conditioned: negative, NaN and
// infinite weights count as zero, everything below 1e-6 of the mean is raised to that, and weights
// without any positive entry become ones. Scaled by a power of two to a mean near 1.
void condition_weights(const float* w, int n, float* out);

}  // namespace karat::codec
