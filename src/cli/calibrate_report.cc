#include "cli/calibrate_report.h"

#include <cmath>

#include "base/log.h"
#include "base/text.h"
#include "calib/activation_statistics.h"

namespace karat::cli {

using base::Json;
using base::printable;
using base::strf;
using calib::ActivationLayer;
using calib::ActivationRow;
using calib::PairFigures;
using tensor::Importance;

namespace {

struct Coverage {
  int64_t matrices = 0, cold = 0;
};

Coverage coverage_of(const Importance& importance) {
  Coverage coverage;
  for (const auto& [name, entry] : importance.entries) {
    for (const int64_t count : entry.counts) {
      ++coverage.matrices;
      if (count == 0) ++coverage.cold;
    }
  }
  return coverage;
}

// "nan" as it is, however the sign bit is set.
std::string number(const char* format, double value, int width) {
  if (std::isnan(value)) return strf("%*s", width, "nan");
  return strf(format, width, value);
}

std::string layer_text(int64_t layer) { return layer < 0 ? "-" : std::to_string(layer); }

std::string tensor_table(const std::vector<ActivationRow>& rows) {
  std::string out = strf("\n%6s | %-40s | %10s %9s %11s %11s %8s | %17s %7s | %12s %9s %9s\n",
                         "Layer", "Tensor", "Mean", "StdDev", "Skew", "Kurt", "H Norm",
                         "\xe2\x88\x91 E[A\xc2\xb2]", "Gain", "L2 Dist", "PCC", "Cov");
  out += std::string(165, '-') + "\n";
  for (const ActivationRow& row : rows) {
    const PairFigures pair = figures_of(row.pair);
    out += strf("%6s | %-40s | ", layer_text(row.layer).c_str(), printable(row.tensor).c_str());
    out += number("%*.4f", row.mean, 10) + number("%*.4f", row.std_deviation, 10) +
           number("%*.4f", row.skewness, 12) + number("%*.4f", row.kurtosis, 12) +
           number("%*.2f", row.h_norm, 8) + "% | ";
    out += number("%*.4f", row.sum_sq, 14) + number("%*.2f", pair.gain, 8) + " | ";
    out += number("%*.4f", pair.l2_dist, 12) + number("%*.4f", pair.pearson, 10) +
           number("%*.4f", pair.covariance, 10) + "\n";
  }
  return out;
}

std::string layer_table(const std::vector<ActivationLayer>& layers) {
  std::string out = strf("\n%6s | %17s %7s | %12s %8s %8s %11s\n", "Layer",
                         "\xe2\x88\x91 E[A\xc2\xb2]", "Gain", "L2 Dist", "CosSim", "PCC", "Cov");
  out += std::string(76, '-') + "\n";
  for (const ActivationLayer& layer : layers) {
    const PairFigures pair = figures_of(layer.pair);
    out += strf("%6s | ", layer_text(layer.layer).c_str());
    out += number("%*.4f", layer.sum_sq, 14) + number("%*.2f", pair.gain, 8) + " | ";
    out += number("%*.4f", pair.l2_dist, 12) + number("%*.4f", pair.cossim, 9) +
           number("%*.4f", pair.pearson, 9) + number("%*.4f", pair.covariance, 12) + "\n";
  }
  return out;
}

Json layer_number(int64_t layer) { return layer < 0 ? Json() : Json(layer); }

void set_pair(Json& out, const PairFigures& pair) {
  out.set("gain", pair.gain);
  out.set("l2_dist", pair.l2_dist);
  out.set("cossim", pair.cossim);
  out.set("pearson", pair.pearson);
  out.set("covariance", pair.covariance);
}

}  // namespace

void name_cold_experts(const Importance& importance) {
  for (const auto& [name, entry] : importance.entries) {
    if (!base::ends_with(name, "ffn_down_exps.weight")) continue;
    std::string experts;
    for (size_t e = 0; e < entry.counts.size(); ++e) {
      if (entry.counts[e] == 0) experts += (experts.empty() ? "" : " ") + std::to_string(e);
    }
    if (!experts.empty()) {
      base::warn("%s: no token reached expert %s; give more text", printable(name).c_str(),
                 experts.c_str());
    }
  }
}

std::string coverage_text(const std::string& file, const Importance& importance) {
  const Coverage coverage = coverage_of(importance);
  return strf("%s: %zu entries from %u chunks of %u tokens; %lld of %lld matrices without data\n",
              file.c_str(), importance.entries.size(), importance.chunk_count,
              importance.chunk_size, static_cast<long long>(coverage.cold),
              static_cast<long long>(coverage.matrices));
}

Json coverage_json(const std::string& file, const Importance& importance) {
  const Coverage coverage = coverage_of(importance);
  Json out = Json::object();
  out.set("output", file.empty() ? Json() : Json(file));
  out.set("chunks", int64_t{importance.chunk_count});
  out.set("tokens", int64_t{importance.chunk_count} * importance.chunk_size);
  out.set("entries", static_cast<int64_t>(importance.entries.size()));
  out.set("matrices", coverage.matrices);
  out.set("matrices_without_data", coverage.cold);
  return out;
}

std::string statistics_text(const std::string& file, const Importance& importance,
                            base::ThreadPool& pool) {
  const std::vector<ActivationRow> rows = calib::activation_rows(importance, pool);
  const std::vector<ActivationLayer> layers = calib::activation_layers(rows);
  size_t blocks = 0;
  for (const ActivationLayer& layer : layers) blocks += layer.layer >= 0 ? 1 : 0;
  return strf("Computing tensor statistics for %s (%zu tensors)\n", file.c_str(), rows.size()) +
         tensor_table(rows) +
         strf("\nComputing layer statistics for %s (%zu layers)\n", file.c_str(), blocks) +
         layer_table(layers);
}

Json statistics_json(const Importance& importance, base::ThreadPool& pool) {
  const std::vector<ActivationRow> rows = calib::activation_rows(importance, pool);
  Json tensors = Json::array(), layers = Json::array();
  for (const ActivationRow& row : rows) {
    Json item = Json::object();
    item.set("tensor", row.tensor);
    item.set("layer", layer_number(row.layer));
    item.set("sum_sq", row.sum_sq);
    item.set("mean", row.mean);
    item.set("elements", row.elements);
    item.set("std_deviation", row.std_deviation);
    item.set("skewness", row.skewness);
    item.set("kurtosis", row.kurtosis);
    item.set("h_norm", row.h_norm);
    set_pair(item, figures_of(row.pair));
    tensors.push(std::move(item));
  }
  for (const ActivationLayer& layer : calib::activation_layers(rows)) {
    Json item = Json::object();
    item.set("layer", layer_number(layer.layer));
    item.set("sum_sq", layer.sum_sq);
    set_pair(item, figures_of(layer.pair));
    layers.push(std::move(item));
  }
  Json out = Json::object();
  out.set("tensors", std::move(tensors));
  out.set("layers", std::move(layers));
  return out;
}

}  // namespace karat::cli
