// Figures derived from importance statistics: what llama-imatrix stores as .stats and prints with
// --show-statistics. Averages over the rows come first (E[x], E[x^2] per column and matrix, only of
// matrices that saw rows), then moments over those columns.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/threads.h"
#include "tensor/statistics.h"

namespace karat::calib {

// Sums over the columns that two entries share; `previous` is the nearest earlier layer with the
// same tensor, never across the border between trunk and MTP blocks.
struct ActivationPair {
  int64_t columns = 0;                     // 0: there is no previous layer
  double sum_sq = 0, previous_sum_sq = 0;  // E[x^2] of all columns of each
  int64_t elements = 0, previous_elements = 0;
  double dot = 0, norm_sq = 0, previous_norm_sq = 0, distance_sq = 0;
  double co_moment = 0, moment = 0, previous_moment = 0;  // of the centred columns
};

// One row of the table. mean to kurtosis are of E[x], or of E[x^2] in a file without sums of x.
// Not-a-number where a figure is undefined.
struct ActivationRow {
  std::string tensor;
  int64_t layer = -1;  // -1: outside the blocks
  double sum_sq = 0;   // sum of E[x^2]
  int64_t elements = 0;
  double mean = 0, std_deviation = 0, skewness = 0, kurtosis = 0;  // kurtosis: 0 is normal
  double h_norm = 0;  // entropy of E[x^2] as shares, in percent of the largest possible
  ActivationPair pair;
};

// Figures of a tensor, or of a layer (then of the sums of its tensors).
struct PairFigures {
  double gain, l2_dist, cossim, pearson, covariance;
};
PairFigures figures_of(const ActivationPair& pair);

struct ActivationLayer {
  int64_t layer = -1;
  double sum_sq = 0;
  ActivationPair pair;
};

// One row per entry, by layer and name, tensors outside the blocks last. Deterministic for any
// number of threads; memory of a few columns' averages per thread.
std::vector<ActivationRow> activation_rows(const tensor::Importance& importance,
                                           base::ThreadPool& pool);
// The same pooled over the tensors of each layer.
std::vector<ActivationLayer> activation_layers(const std::vector<ActivationRow>& rows);

// Fills in `stats` of every entry that has sums of x, and clears it elsewhere; unless all of those
// have them already (a file that is passed on keeps its bits).
void fill_activation_stats(tensor::Importance& importance, base::ThreadPool& pool);

}  // namespace karat::calib
