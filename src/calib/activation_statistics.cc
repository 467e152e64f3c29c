#include "calib/activation_statistics.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <tuple>

#include "base/error.h"
#include "model/names.h"

namespace karat::calib {

namespace {

using tensor::Importance;
using tensor::ImportanceEntry;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

// Averages per column of the matrices that saw rows; NaN elsewhere.
std::vector<double> averages(const ImportanceEntry& entry, const std::vector<double>& sums) {
  std::vector<double> out(sums.size(), kNan);
  const size_t share = sums.size() / entry.counts.size();  // columns under one count
  for (size_t i = 0; i < sums.size(); ++i) {
    const int64_t count = entry.counts[i / share];
    if (count > 0) out[i] = sums[i] / static_cast<double>(count);
  }
  return out;
}

// What mean, deviation and the comparison of layers look at.
std::vector<double> levels(const ImportanceEntry& entry) {
  return averages(entry, entry.in_sum.empty() ? entry.in_sum2 : entry.in_sum);
}

struct Energy {
  double sum_sq = 0, h_norm = kNan;
  int64_t elements = 0;
};

Energy energy_of(const ImportanceEntry& entry) {
  Energy energy;
  const std::vector<double> squares = averages(entry, entry.in_sum2);
  for (const double square : squares) {
    if (std::isnan(square)) continue;
    energy.sum_sq += square;
    ++energy.elements;
  }
  double entropy = 0;
  for (const double square : squares) {
    if (!(square > 0)) continue;
    const double share = square / energy.sum_sq;
    entropy -= share * std::log2(share);
  }
  if (energy.sum_sq > 0 && energy.elements > 1) {
    energy.h_norm = 100 * entropy / std::log2(static_cast<double>(energy.elements));
  }
  return energy;
}

void fill_moments(const std::vector<double>& values, ActivationRow& row) {
  const auto n = static_cast<double>(row.elements);
  double sum = 0, square = 0, cube = 0, fourth = 0;
  for (const double value : values) sum += std::isnan(value) ? 0 : value;
  row.mean = row.elements > 0 ? sum / n : kNan;
  for (const double value : values) {
    if (std::isnan(value)) continue;
    const double d = value - row.mean;
    square += d * d;
    cube += d * d * d;
    fourth += d * d * d * d;
  }
  const double variance = row.elements > 0 ? square / n : kNan;
  row.std_deviation = std::sqrt(variance);
  row.skewness = variance > 0 ? cube / n / (variance * row.std_deviation) : kNan;
  row.kurtosis = variance > 0 ? fourth / n / (variance * variance) - 3 : kNan;
}

ActivationPair pair_of(const ImportanceEntry& entry, const ImportanceEntry& previous) {
  ActivationPair pair;
  if (entry.in_sum2.size() != previous.in_sum2.size() ||
      entry.in_sum.empty() != previous.in_sum.empty()) {
    return pair;
  }
  const std::vector<double> current = levels(entry), before = levels(previous);
  double sum = 0, sum_before = 0;
  for (size_t i = 0; i < current.size(); ++i) {
    if (std::isnan(current[i]) || std::isnan(before[i])) continue;
    ++pair.columns;
    sum += current[i];
    sum_before += before[i];
  }
  if (pair.columns == 0) return pair;
  const double mean = sum / static_cast<double>(pair.columns),
               mean_before = sum_before / static_cast<double>(pair.columns);
  for (size_t i = 0; i < current.size(); ++i) {
    const double c = current[i], p = before[i];
    if (std::isnan(c) || std::isnan(p)) continue;
    pair.dot += c * p;
    pair.norm_sq += c * c;
    pair.previous_norm_sq += p * p;
    pair.distance_sq += (c - p) * (c - p);
    pair.co_moment += (c - mean) * (p - mean_before);
    pair.moment += (c - mean) * (c - mean);
    pair.previous_moment += (p - mean_before) * (p - mean_before);
  }
  const Energy energy = energy_of(entry), energy_before = energy_of(previous);
  pair.sum_sq = energy.sum_sq;
  pair.elements = energy.elements;
  pair.previous_sum_sq = energy_before.sum_sq;
  pair.previous_elements = energy_before.elements;
  return pair;
}

// For each entry the entry of the nearest earlier layer with the same tensor, or null.
std::map<std::string, const ImportanceEntry*> previous_layers(const Importance& importance) {
  int64_t last = -1;
  // Rest of the name, MTP or trunk, layer.
  std::map<std::tuple<std::string, bool, int64_t>, const std::string*> order;
  for (const auto& [name, entry] : importance.entries) {
    last = std::max(last, model::layer_of(name));
  }
  const int64_t trunk = last + 1 - static_cast<int64_t>(importance.nextn_layers);
  for (const auto& [name, entry] : importance.entries) {
    const int64_t layer = model::layer_of(name);
    if (layer < 0) continue;
    const std::string rest = name.substr(name.find('.', 4) + 1);
    order.emplace(std::tuple(rest, layer >= trunk, layer), &name);
  }
  std::map<std::string, const ImportanceEntry*> previous;
  for (auto at = order.begin(); at != order.end(); ++at) {
    if (at == order.begin()) continue;
    const auto before = std::prev(at);
    if (std::get<0>(before->first) != std::get<0>(at->first)) continue;
    if (std::get<1>(before->first) != std::get<1>(at->first)) continue;
    previous[*at->second] = &importance.entries.at(*before->second);
  }
  return previous;
}

void add(ActivationPair& sum, const ActivationPair& pair) {
  sum.columns += pair.columns;
  sum.sum_sq += pair.sum_sq;
  sum.previous_sum_sq += pair.previous_sum_sq;
  sum.elements += pair.elements;
  sum.previous_elements += pair.previous_elements;
  sum.dot += pair.dot;
  sum.norm_sq += pair.norm_sq;
  sum.previous_norm_sq += pair.previous_norm_sq;
  sum.distance_sq += pair.distance_sq;
  sum.co_moment += pair.co_moment;
  sum.moment += pair.moment;
  sum.previous_moment += pair.previous_moment;
}

}  // namespace

PairFigures figures_of(const ActivationPair& pair) {
  if (pair.columns == 0) return {kNan, kNan, kNan, kNan, kNan};
  const double power = pair.sum_sq / static_cast<double>(pair.elements),
               power_before = pair.previous_sum_sq / static_cast<double>(pair.previous_elements);
  const auto share = [](double product, double a, double b) {
    return a > 0 && b > 0 ? product / std::sqrt(a * b) : kNan;
  };
  return {power_before > 0 ? std::sqrt(power) / std::sqrt(power_before) : kNan,
          std::sqrt(pair.distance_sq), share(pair.dot, pair.norm_sq, pair.previous_norm_sq),
          share(pair.co_moment, pair.moment, pair.previous_moment),
          pair.co_moment / static_cast<double>(pair.columns)};
}

std::vector<ActivationRow> activation_rows(const Importance& importance, base::ThreadPool& pool) {
  std::vector<const std::pair<const std::string, ImportanceEntry>*> entries;
  for (const auto& named : importance.entries) entries.push_back(&named);
  const auto previous = previous_layers(importance);
  std::vector<ActivationRow> rows(entries.size());
  pool.for_each(static_cast<int64_t>(entries.size()), [&](int64_t index, int) {
    const auto& [name, entry] = *entries[static_cast<size_t>(index)];
    ActivationRow& row = rows[static_cast<size_t>(index)];
    const Energy energy = energy_of(entry);
    row.tensor = name;
    row.layer = model::layer_of(name);
    row.sum_sq = energy.sum_sq;
    row.elements = energy.elements;
    row.h_norm = energy.h_norm;
    fill_moments(levels(entry), row);
    const auto before = previous.find(name);
    if (before != previous.end()) row.pair = pair_of(entry, *before->second);
  });
  std::stable_sort(rows.begin(), rows.end(), [](const ActivationRow& a, const ActivationRow& b) {
    const auto place = [](const ActivationRow& row) {
      return row.layer < 0 ? std::numeric_limits<int64_t>::max() : row.layer;
    };
    return place(a) < place(b);
  });
  return rows;
}

std::vector<ActivationLayer> activation_layers(const std::vector<ActivationRow>& rows) {
  std::vector<ActivationLayer> layers;
  for (const ActivationRow& row : rows) {
    if (layers.empty() || layers.back().layer != row.layer) {
      layers.emplace_back();
      layers.back().layer = row.layer;
    }
    layers.back().sum_sq += row.sum_sq;
    add(layers.back().pair, row.pair);
  }
  return layers;
}

void fill_activation_stats(Importance& importance, base::ThreadPool& pool) {
  const bool complete = std::all_of(
      importance.entries.begin(), importance.entries.end(),
      [](const auto& named) { return named.second.in_sum.empty() == named.second.stats.empty(); });
  if (complete) return;
  for (const ActivationRow& row : activation_rows(importance, pool)) {
    ImportanceEntry& entry = importance.entries.at(row.tensor);
    entry.stats.clear();
    if (entry.in_sum.empty()) continue;
    const PairFigures pair = figures_of(row.pair);
    // In the order of tensor::kActivationStatistics.
    for (const double value : {row.sum_sq, row.mean, static_cast<double>(row.elements),
                               row.std_deviation, row.skewness, row.kurtosis, pair.gain, row.h_norm,
                               pair.l2_dist, pair.cossim, pair.pearson, pair.covariance}) {
      entry.stats.push_back(static_cast<float>(value));
    }
  }
}

}  // namespace karat::calib
