// How large what the experts and the blocks put out becomes: super experts, whose outputs are rare
// but extreme (Su et al. 2025, "Unveiling Super Experts in Mixture-of-Experts Large Language
// Models", arXiv 2507.23279), and the massive activations that they make.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/threads.h"
#include "calib/stream_checkpoint.h"

namespace karat::calib {

// Of rows, before any gate weight.
struct NormStatistics {
  int64_t rows = 0;
  double norm_sum = 0, norm_max = 0;  // of the rows' L2 norms
  double value_max = 0;               // largest magnitude of an element
  double norm_mean() const { return rows == 0 ? 0 : norm_sum / static_cast<double>(rows); }
};

struct LayerOutliers {
  NormStatistics residual;              // the residual stream after the block
  std::vector<NormStatistics> experts;  // [experts]: the experts' outputs
};

// Sums in row order, so that they depend on neither threads nor batches.
class OutlierTap : public KeptTap {
 public:
  OutlierTap(int64_t experts, base::ThreadPool& pool) : experts_(experts), pool_(pool) {}
  bool wants_stage(std::string_view name) const override { return name == "out"; }
  void stage(const model::Stage& stage) override;
  void expert_output(const model::ExpertOutput& output) override;
  std::string name() const override { return "outliers"; }
  void keep(StatisticsWriter& out) const override;
  void take_up(StatisticsReader& in) override;
  const std::map<int64_t, LayerOutliers>& layers() const { return layers_; }

 private:
  LayerOutliers& layer_of(int64_t layer);
  void add(const float* rows, int64_t count, int64_t cols, int64_t ld, NormStatistics& to);

  int64_t experts_;
  base::ThreadPool& pool_;
  std::map<int64_t, LayerOutliers> layers_;
};

struct SuperExpert {
  int64_t layer, expert;
  double times_median;  // its largest norm in medians of its block's experts
};
// The paper's two conditions on the largest outputs, above the 99.5th percentile of all experts and
// above a tenth of the largest, taken on L2 norms; and one in place of its condition on layers, so
// that a model without any has none: eight times the median of the block's experts. Largest first.
std::vector<SuperExpert> super_experts(const std::map<int64_t, LayerOutliers>& layers);

// outliers.json (docs/FORMATS.md, section 11), and what people read of it.
base::Json outliers_json(const std::map<int64_t, LayerOutliers>& layers);
std::string outliers_text(const std::map<int64_t, LayerOutliers>& layers);

}  // namespace karat::calib
