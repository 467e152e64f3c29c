// Where the routers send the rows: per layer how often and with what weight each expert is chosen,
// which are chosen together, and by how much the last chosen wins.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "calib/stream_checkpoint.h"

namespace karat::calib {

// Margins are counted by powers of two: bin i holds those from 2^(i-20) up, the first and the last
// also what lies beyond.
inline constexpr int kMarginBins = 32, kMarginBinOfOne = 20;

struct LayerRouting {
  int64_t rows = 0;
  std::vector<int64_t> counts;    // [experts]: rows that chose it
  std::vector<double> gate_mass;  // [experts]: sum of their renormalised gate weights
  std::vector<int32_t>
      together;  // [experts, experts]: rows that chose both; the diagonal is counts
  // Logit of the last chosen expert less that of the first one not chosen (ranks 8 and 9).
  double margin_sum = 0;
  std::array<int64_t, kMarginBins> margins = {};
  std::vector<int64_t> cold() const;  // experts without a row
};

struct Routing {
  int64_t experts = 0, used = 0;
  std::map<int64_t, LayerRouting> layers;  // by block number
};

// Sums in row order, so that they depend on neither threads nor batches.
class RoutingTap : public KeptTap {
 public:
  RoutingTap(int64_t experts, int64_t used);
  bool wants_stage(std::string_view name) const override;
  void stage(const model::Stage& stage) override;
  std::string name() const override { return "routing"; }
  void keep(StatisticsWriter& out) const override;
  void take_up(StatisticsReader& in) override;
  const Routing& routing() const { return routing_; }

 private:
  void see_logits(const model::Stage& stage, LayerRouting& layer);
  void see_weights(const model::Stage& stage, LayerRouting& layer) const;

  Routing routing_;
  std::vector<int32_t> chosen_;  // of the batch's rows, [rows, used], by rank
};

// A safetensors file (docs/FORMATS.md, section 11).
void write_routing(const std::string& path, const Routing& routing);
// Such a file. Error{bad_input} naming it for anything else.
Routing read_routing(const std::string& path);

// The rows of each expert as a map, a line per block and a letter per expert; the experts that saw
// none, by name; and the margins.
std::string routing_text(const Routing& routing);

}  // namespace karat::calib
