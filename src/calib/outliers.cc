#include "calib/outliers.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "base/error.h"
#include "base/text.h"

namespace karat::calib {

using base::Json;
using base::strf;

namespace {

constexpr double kPercentile = 0.995, kShareOfLargest = 0.1, kTimesMedian = 8;
constexpr int64_t kRowsToSpread = 64;  // fewer are not worth waking threads for

struct Row {
  double norm;
  float value;
};

// Eight running sums, element k in sum k mod 8, added as a tree.
Row measure(const float* x, int64_t cols) {
  std::array<double, 8> sums = {};
  float largest = 0;
  int64_t k = 0;
  for (; k + 8 <= cols; k += 8) {
    for (size_t lane = 0; lane < 8; ++lane) {
      const double value = static_cast<double>(x[k + static_cast<int64_t>(lane)]);
      sums[lane] += value * value;
    }
  }
  for (size_t lane = 0; k < cols; ++k, ++lane) {
    sums[lane] += static_cast<double>(x[k]) * static_cast<double>(x[k]);
  }
  for (int64_t i = 0; i < cols; ++i) largest = std::max(largest, std::abs(x[i]));
  for (const size_t half : {4u, 2u, 1u}) {
    for (size_t lane = 0; lane < half; ++lane) sums[lane] += sums[lane + half];
  }
  return {std::sqrt(sums[0]), largest};
}

void keep_norms(const NormStatistics& norms, StatisticsWriter& out) {
  out.number(norms.rows);
  for (const double* value : {&norms.norm_sum, &norms.norm_max, &norms.value_max}) {
    out.bytes(std::as_bytes(std::span(value, 1)));
  }
}

NormStatistics take_up_norms(StatisticsReader& in) {
  NormStatistics norms;
  norms.rows = in.number();
  for (double* value : {&norms.norm_sum, &norms.norm_max, &norms.value_max}) {
    in.bytes(std::as_writable_bytes(std::span(value, 1)));
  }
  return norms;
}

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

// Largest norms of the experts that saw rows.
std::vector<double> largest_norms(const LayerOutliers& layer) {
  std::vector<double> out;
  for (const NormStatistics& expert : layer.experts) {
    if (expert.rows > 0) out.push_back(expert.norm_max);
  }
  return out;
}

Json norms_json(const NormStatistics& norms) {
  Json json = Json::object();
  json.set("rows", norms.rows);
  json.set("norm_mean", norms.norm_mean());
  json.set("norm_max", norms.norm_max);
  json.set("value_max", norms.value_max);
  return json;
}

}  // namespace

LayerOutliers& OutlierTap::layer_of(int64_t layer) {
  LayerOutliers& outliers = layers_[layer];
  outliers.experts.resize(static_cast<size_t>(experts_));
  return outliers;
}

void OutlierTap::add(const float* rows, int64_t count, int64_t cols, int64_t ld,
                     NormStatistics& to) {
  std::vector<Row> measured(static_cast<size_t>(count));
  const auto one = [&](int64_t r, int) {
    measured[static_cast<size_t>(r)] = measure(rows + r * ld, cols);
  };
  if (count >= kRowsToSpread) {
    pool_.for_each(count, one);
  } else {
    for (int64_t r = 0; r < count; ++r) one(r, 0);
  }
  for (const Row& row : measured) {
    to.norm_sum += row.norm;
    to.norm_max = std::max(to.norm_max, row.norm);
    to.value_max = std::max(to.value_max, static_cast<double>(row.value));
  }
  to.rows += count;
}

void OutlierTap::stage(const model::Stage& stage) {
  add(stage.values, stage.rows, stage.cols, stage.ld, layer_of(stage.layer).residual);
}

void OutlierTap::expert_output(const model::ExpertOutput& output) {
  add(output.rows, output.count, output.cols, output.cols,
      layer_of(output.layer).experts[static_cast<size_t>(output.expert)]);
}

void OutlierTap::keep(StatisticsWriter& out) const {
  out.number(static_cast<int64_t>(layers_.size()));
  for (const auto& [number, layer] : layers_) {
    out.number(number);
    keep_norms(layer.residual, out);
    for (const NormStatistics& expert : layer.experts) keep_norms(expert, out);
  }
}

void OutlierTap::take_up(StatisticsReader& in) {
  layers_.clear();
  for (int64_t left = in.number(); left > 0; --left) {
    LayerOutliers& layer = layer_of(in.number());
    layer.residual = take_up_norms(in);
    for (NormStatistics& expert : layer.experts) expert = take_up_norms(in);
  }
}

std::vector<SuperExpert> super_experts(const std::map<int64_t, LayerOutliers>& layers) {
  std::vector<double> all;
  for (const auto& [number, layer] : layers) {
    const std::vector<double> norms = largest_norms(layer);
    all.insert(all.end(), norms.begin(), norms.end());
  }
  if (all.empty()) return {};
  std::sort(all.begin(), all.end());
  const auto rank = static_cast<size_t>(kPercentile * static_cast<double>(all.size() - 1));
  const double bound = std::max(all[rank], kShareOfLargest * all.back());
  std::vector<SuperExpert> out;
  std::vector<double> norms;  // of `out`
  for (const auto& [number, layer] : layers) {
    const double middle = median(largest_norms(layer));
    for (size_t e = 0; e < layer.experts.size(); ++e) {
      const double norm = layer.experts[e].norm_max;
      if (!(norm > kTimesMedian * middle) || norm < bound) continue;
      out.push_back({number, static_cast<int64_t>(e), norm / middle});
    }
  }
  const auto norm_of = [&](const SuperExpert& super) {
    return layers.at(super.layer).experts[static_cast<size_t>(super.expert)].norm_max;
  };
  std::stable_sort(out.begin(), out.end(), [&](const SuperExpert& a, const SuperExpert& b) {
    return norm_of(a) > norm_of(b);
  });
  return out;
}

Json outliers_json(const std::map<int64_t, LayerOutliers>& layers) {
  Json list = Json::array(), supers = Json::array();
  for (const auto& [number, layer] : layers) {
    Json experts = Json::array();
    for (const NormStatistics& expert : layer.experts) experts.push(norms_json(expert));
    Json json = Json::object();
    json.set("layer", number);
    json.set("residual", norms_json(layer.residual));
    json.set("experts", std::move(experts));
    list.push(std::move(json));
  }
  for (const SuperExpert& super : super_experts(layers)) {
    Json json = Json::object();
    json.set("layer", super.layer);
    json.set("expert", super.expert);
    json.set("times_median", super.times_median);
    supers.push(std::move(json));
  }
  Json json = Json::object();
  json.set("schema", 1);
  json.set("super_experts", std::move(supers));
  json.set("layers", std::move(list));
  return json;
}

std::string outliers_text(const std::map<int64_t, LayerOutliers>& layers) {
  std::string text =
      "Block  residual norm mean       max  largest value   expert norm median       max  expert\n";
  for (const auto& [number, layer] : layers) {
    size_t largest = 0;
    for (size_t e = 0; e < layer.experts.size(); ++e) {
      if (layer.experts[e].norm_max > layer.experts[largest].norm_max) largest = e;
    }
    text += strf("%5lld %19.4g %9.4g %14.4g %20.4g %9.4g %7zu\n", static_cast<long long>(number),
                 layer.residual.norm_mean(), layer.residual.norm_max, layer.residual.value_max,
                 median(largest_norms(layer)), layer.experts[largest].norm_max, largest);
  }
  const std::vector<SuperExpert> supers = super_experts(layers);
  text += supers.empty() ? "No super expert.\n" : "Super experts:\n";
  for (const SuperExpert& super : supers) {
    text += strf("  block %lld expert %lld: largest output norm %.3g times the block's median\n",
                 static_cast<long long>(super.layer), static_cast<long long>(super.expert),
                 super.times_median);
  }
  return text;
}

}  // namespace karat::calib
