#include "cli/load.h"

#include "base/error.h"
#include "base/log.h"
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

std::unique_ptr<exec::ResidentModel> load_for_sessions(const model::OpenedModel& opened,
                                                       const exec::MemoryRequest& request,
                                                       const Common& common,
                                                       base::ThreadPool& pool) {
  const Fit fit = fit_of(opened, request, common);
  if (fit.fits()) {
    return std::make_unique<exec::ResidentModel>(*opened.source, opened.config, request.with_mtp,
                                                 model::Layout::panels, &pool);
  }
  const uint64_t experts = fit.plan.weights.experts;
  if (experts == 0 || fit.allowed < fit.advice.few_experts_bytes) {
    throw fail(ErrorKind::memory, "%s", fit_refusal(opened.path, fit).c_str());
  }
  auto model = std::make_unique<exec::ResidentModel>(*opened.source, opened.config,
                                                     request.with_mtp, model::Layout::panels, pool,
                                                     fit.allowed - (fit.plan.total() - experts));
  const exec::ExpertCache& cache = *model->experts();
  const auto token_bytes = experts / static_cast<uint64_t>(opened.config.experts) *
                           static_cast<uint64_t>(opened.config.experts_used);
  base::warn(
      "%s: %s are needed at a context of %lld, %s %s: %lld of %lld experts stay in memory, the "
      "others are read when the router asks for them, up to %s for a token",
      base::printable(opened.path).c_str(), base::both_units(fit.plan.total()).c_str(),
      static_cast<long long>(request.context), fit.limit.c_str(),
      base::both_units(fit.allowed).c_str(), static_cast<long long>(cache.capacity()),
      static_cast<long long>(cache.experts()), base::both_units(token_bytes).c_str());
  return model;
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
