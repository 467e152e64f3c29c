#include "cli/load.h"

#include "base/error.h"
#include "base/text.h"
#include "model/activations.h"

namespace karat::cli {

using base::ErrorKind;
using base::fail;

text::Tokenizer make_tokenizer(const model::OpenedModel& opened) {
  if (!opened.tokenizer) {
    throw fail(ErrorKind::bad_input, "%s: has no tokenizer; tokenizer.json is needed beside it",
               base::printable(opened.path).c_str());
  }
  return text::Tokenizer(*opened.tokenizer);
}

std::unique_ptr<exec::ResidentModel> load_resident(const model::OpenedModel& opened, bool with_mtp,
                                                   const Common& common,
                                                   model::Activations activations) {
  require_fit(opened, {.context = 1, .with_mtp = with_mtp}, common);
  base::ThreadPool pool(common.thread_count());
  return std::make_unique<exec::ResidentModel>(*opened.source, opened.config, with_mtp,
                                               model::layout_for(activations), &pool);
}

Fit fit_of(const model::OpenedModel& opened, const exec::MemoryRequest& request,
           const Common& common) {
  Fit fit;
  fit.plan = exec::plan_memory(*opened.source, opened.config, request);
  fit.allowed = memory_allowed(common);
  fit.limit = memory_limit(common);
  fit.context_max = opened.config.context_max;
  fit.advice = recipe::advise_fit(*opened.source, opened.config, fit.plan, fit.allowed);
  return fit;
}

void require_fit(const model::OpenedModel& opened, const exec::MemoryRequest& request,
                 const Common& common) {
  const Fit fit = fit_of(opened, request, common);
  if (!fit.fits()) throw fail(ErrorKind::memory, "%s", fit_refusal(opened.path, fit).c_str());
}

model::Activations activations_named(const std::string& name) {
  if (name == "bf16") return model::Activations::bf16;
  if (name == "stock") return model::Activations::stock;
  if (name == "q8") return model::Activations::q8;
  CHECK(name == "f32");
  return model::Activations::f32;
}

void CacheNames::declare(Options& options) {
  const std::vector<std::string> names = {"f16", "q8_0", "bf16", "f32"};
  options.choice("-ctk,--cache-type-k", names, k, "how keys are kept (default f16)");
  options.choice("-ctv,--cache-type-v", names, v, "how values are kept (default f16)");
}

model::CacheTypes CacheNames::types() const {
  return {*tensor::dtype_from_name(k), *tensor::dtype_from_name(v)};
}

void require_files(const std::vector<std::string>& files) {
  if (files.empty()) throw fail(ErrorKind::usage, "-f FILE is needed");
}

}  // namespace karat::cli
