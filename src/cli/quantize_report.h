// What quantize prints: the table of decisions, the totals, the result.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cli/command.h"
#include "recipe/estimate.h"
#include "recipe/quantize.h"

namespace karat::cli {

// What a run of the plan would take.
struct Expectation {
  recipe::TimeEstimate time;
  uint64_t memory_bytes = 0;  // the most at a time
};

void print_plan(const Common& common, const recipe::QuantizePlan& plan, uint64_t file_bytes,
                const Expectation& expectation);
// `file_bytes` are those of all files.
void print_result(const Common& common, const recipe::QuantizePlan& plan,
                  const std::vector<std::string>& files, uint64_t file_bytes, double seconds);

}  // namespace karat::cli
