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
  void keep(StatisticsWriter& out) const override { out.text(kMark); }
  void take_up(StatisticsReader& in) override { CHECK(in.text() == kMark); }

 private:
  static inline const std::string kMark = "all experts";
};

}  // namespace karat::calib
