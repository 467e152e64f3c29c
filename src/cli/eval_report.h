// The reports of eval, with llama-perplexity's row names so that numbers can be laid side by side.
#pragma once

#include <string>

#include "base/json.h"
#include "cli/divergence_run.h"
#include "eval/perplexity.h"

namespace karat::cli {

std::string perplexity_text(const eval::PerplexityResult& result);
base::Json perplexity_json(const eval::PerplexityResult& result);
std::string divergence_text(const DivergenceReport& report);
base::Json divergence_json(const DivergenceReport& report);

}  // namespace karat::cli
