// What fits into memory, in words: for plan --fit, and for verbs that refuse a model.
#pragma once

#include <cstdint>
#include <string>

#include "base/json.h"
#include "model/open.h"
#include "recipe/fit.h"

namespace karat::cli {

struct Fit {
  exec::MemoryPlan plan;
  recipe::FitAdvice advice;
  uint64_t allowed = 0;     // bytes
  std::string limit;        // "--mem-limit allows", "this machine can give"
  int64_t context_max = 0;  // the model's
  bool fits() const { return plan.total() <= allowed; }
};

std::string fit_text(const std::string& model, const Fit& fit);
base::Json fit_json(const std::string& model, const Fit& fit);
// One line for an error: what is needed, what there is, and what would fit.
std::string fit_refusal(const std::string& model, const Fit& fit);

}  // namespace karat::cli
