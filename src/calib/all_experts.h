// Statistics of every expert on every row (llm-compressor's way), for comparison: they include what
// an expert never serves.
#pragma once

#include <string>

#include "calib/stream_checkpoint.h"

namespace karat::calib {

// Sees nothing itself; beside it, the other taps see every row at every expert.
class AllExpertsTap : public KeptTap {
 public:
  bool wants_all_experts() const override { return true; }
  std::string name() const override { return "all experts"; }
  void keep(StatisticsWriter& out) const override { out.text(name()); }
  void take_up(StatisticsReader& in) override { CHECK(in.text() == name()); }
};

}  // namespace karat::calib
