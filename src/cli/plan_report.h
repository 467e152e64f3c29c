// What plan prints: the plan in short, or every tensor with its reason.
#pragma once

#include <string>

#include "base/json.h"
#include "recipe/plan_file.h"

namespace karat::cli {

std::string plan_report(const recipe::Plan& plan, const tensor::TensorSource& source, bool explain);
base::Json plan_report_json(const recipe::Plan& plan, const tensor::TensorSource& source);

}  // namespace karat::cli
