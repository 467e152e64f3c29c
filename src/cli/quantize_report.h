// What quantize prints: the table of decisions, the totals, the result.
#pragma once

#include <cstdint>
#include <string>

#include "cli/command.h"
#include "recipe/quantize.h"

namespace karat::cli {

void print_plan(const Common& common, const recipe::QuantizePlan& plan, uint64_t file_bytes);
void print_result(const Common& common, const recipe::QuantizePlan& plan, const std::string& out,
                  double seconds);

}  // namespace karat::cli
