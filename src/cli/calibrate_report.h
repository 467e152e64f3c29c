// What calibrate prints: how much of the model the statistics cover, and the statistics' table.
#pragma once

#include <string>

#include "base/json.h"
#include "base/threads.h"
#include "tensor/statistics.h"

namespace karat::cli {

// Warns of experts that no row reached, layer by layer.
void name_cold_experts(const tensor::Importance& importance);

// "FILE: 52 entries from 16 chunks of 128 tokens; ..." and the same as an object.
std::string coverage_text(const std::string& file, const tensor::Importance& importance);
base::Json coverage_json(const std::string& file, const tensor::Importance& importance);

// The two tables of llama-imatrix --show-statistics, per tensor and per layer; `file` stands in
// their headings. The object has "tensors" and "layers", null where a figure is undefined.
std::string statistics_text(const std::string& file, const tensor::Importance& importance,
                            base::ThreadPool& pool);
base::Json statistics_json(const tensor::Importance& importance, base::ThreadPool& pool);

}  // namespace karat::cli
