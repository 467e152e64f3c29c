// What `karat plan` does when it plans: from the command line to a plan file.
#pragma once

#include <cstdint>
#include <string>

#include "cli/command.h"
#include "exec/memory_plan.h"

namespace karat::cli {

struct PlanRequest {
  std::string model, stats, out, recipe, like, tensor_types, cache;
  std::string effort = "balanced";
  double bpw = 0;                   // 0: none
  uint64_t size = 0;                // of the file
  uint64_t fit_ram = 0;             // of everything that running the model takes,
  exec::MemoryRequest memory = {};  // with this context
  bool explain = false;
};

// Measures, solves, writes OUT (if there is one) and prints the report. Error{usage} unless there
// is exactly one target, and with the range that is possible if it is out of that.
void make_plan_file(const PlanRequest& request, const Common& common);

}  // namespace karat::cli
