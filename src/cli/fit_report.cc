#include "cli/fit_report.h"

#include <vector>

#include "base/text.h"

namespace karat::cli {

using base::both_units;
using base::Json;
using base::strf;

namespace {

long long wide(int64_t value) { return value; }

std::string type_name(tensor::DType type) { return std::string(tensor::info(type).name); }

std::string line(const char* label, uint64_t bytes, const std::string& note = {}) {
  const std::string text = strf("  %-26s%-24s%s", label, both_units(bytes).c_str(), note.c_str());
  return text.substr(0, text.find_last_not_of(' ') + 1) + "\n";
}

// What would fit instead, each a whole phrase.
std::vector<std::string> remedies(const Fit& fit) {
  std::vector<std::string> out;
  const exec::MemoryRequest& request = fit.plan.request;
  const recipe::FitAdvice& advice = fit.advice;
  if (advice.context > 0) {
    out.push_back(strf("-c %lld", wide(std::min(advice.context, request.context))));
  }
  if (advice.context_q8_0 > advice.context) {
    out.push_back(strf("-ctk q8_0 -ctv q8_0 with -c %lld",
                       wide(std::min(advice.context_q8_0, request.context))));
  }
  if (advice.smaller != nullptr) {
    out.push_back(strf("quantized as %s (%s)", std::string(advice.smaller->name).c_str(),
                       both_units(advice.smaller_bytes).c_str()));
  }
  if (fit.plan.weights.experts > 0 && advice.few_experts_bytes <= fit.allowed) {
    out.push_back(strf("chat and bench, which then read experts as the router asks (from %s)",
                       both_units(advice.few_experts_bytes).c_str()));
  }
  if (advice.streamed_bytes <= fit.allowed) {
    out.push_back(strf("eval and calibrate, which read it block by block (from %s)",
                       both_units(advice.streamed_bytes).c_str()));
  }
  return out;
}

std::string joined(const std::vector<std::string>& parts, const char* between) {
  std::string out;
  for (const std::string& part : parts) out += (out.empty() ? "" : between) + part;
  return out;
}

std::string weight_lines(const exec::WeightShares& weights) {
  std::string text;
  for (const auto& [label, bytes] : std::initializer_list<std::pair<const char*, uint64_t>>{
           {"  routed experts", weights.experts},
           {"  shared experts, routers", weights.shared_experts},
           {"  attention", weights.attention},
           {"  DeltaNet", weights.delta_net},
           {"  embedding", weights.embedding},
           {"  output", weights.head},
           {"  norms", weights.norms}}) {
    if (bytes > 0) text += line(label, bytes);
  }
  return text;
}

}  // namespace

std::string fit_text(const std::string& model, const Fit& fit) {
  const exec::MemoryPlan& plan = fit.plan;
  const exec::MemoryRequest& request = plan.request;
  std::string text =
      strf("%s: context %lld", base::printable(model).c_str(), wide(request.context));
  if (request.sequences > 1) text += strf(", %lld sequences", wide(request.sequences));
  text += strf(", keys %s, values %s\n\n", type_name(request.cache.k).c_str(),
               type_name(request.cache.v).c_str());
  text += line("weights", plan.weight_bytes()) + weight_lines(plan.weights);
  if (plan.weights.mtp > 0) {
    text += line("  MTP block", plan.weights.mtp, request.with_mtp ? "" : "not loaded");
  }
  text += line("keys and values", plan.cache_bytes(),
               strf("%llu bytes per token", static_cast<unsigned long long>(plan.cache_per_token)));
  text += line("DeltaNet state", plan.state_bytes());
  text += line("scratch", plan.scratch);
  text += line("total", plan.total());
  text += line(fit.limit.c_str(), fit.allowed);
  text += strf("\n%s; largest context: %lld", fit.fits() ? "fits" : "does not fit",
               wide(fit.advice.context));
  if (fit.advice.context_q8_0 > fit.advice.context) {
    text += strf(", with -ctk q8_0 -ctv q8_0: %lld", wide(fit.advice.context_q8_0));
  }
  text += strf(" (the model's is %lld)\n", wide(fit.context_max));
  if (fit.fits()) return text;
  const std::vector<std::string> what = remedies(fit);
  return text + (what.empty() ? "" : "would fit:\n  " + joined(what, "\n  ") + "\n");
}

Json fit_json(const std::string& model, const Fit& fit) {
  const exec::MemoryPlan& plan = fit.plan;
  Json weights = Json::object();
  weights.set("experts", plan.weights.experts);
  weights.set("shared_experts", plan.weights.shared_experts);
  weights.set("attention", plan.weights.attention);
  weights.set("delta_net", plan.weights.delta_net);
  weights.set("embedding", plan.weights.embedding);
  weights.set("output", plan.weights.head);
  weights.set("norms", plan.weights.norms);
  weights.set("mtp", plan.weights.mtp);
  weights.set("total", plan.weight_bytes());
  Json json = Json::object();
  json.set("model", model);
  json.set("context", plan.request.context);
  json.set("sequences", plan.request.sequences);
  json.set("mtp", plan.request.with_mtp);
  json.set("type_k", type_name(plan.request.cache.k));
  json.set("type_v", type_name(plan.request.cache.v));
  json.set("weights", std::move(weights));
  json.set("kv_bytes_per_token", plan.cache_per_token);
  json.set("kv_bytes", plan.cache_bytes());
  json.set("mtp_kv_bytes_per_token", plan.mtp_cache_per_token);
  json.set("state_bytes", plan.state_bytes());
  json.set("scratch_bytes", plan.scratch);
  json.set("total_bytes", plan.total());
  json.set("allowed_bytes", fit.allowed);
  json.set("fits", fit.fits());
  json.set("context_fits", fit.advice.context);
  json.set("context_fits_q8_0", fit.advice.context_q8_0);
  json.set("context_max", fit.context_max);
  json.set("streamed_bytes", fit.advice.streamed_bytes);
  if (fit.advice.smaller != nullptr) {
    json.set("smaller_type", fit.advice.smaller->name);
    json.set("smaller_type_bytes", fit.advice.smaller_bytes);
  }
  return json;
}

std::string fit_refusal(const std::string& model, const Fit& fit) {
  std::string text =
      strf("%s: %s of memory are needed at a context of %lld, %s %s",
           base::printable(model).c_str(), both_units(fit.plan.total()).c_str(),
           wide(fit.plan.request.context), fit.limit.c_str(), both_units(fit.allowed).c_str());
  const std::vector<std::string> what = remedies(fit);
  return what.empty() ? text : text + "; would fit: " + joined(what, "; ");
}

}  // namespace karat::cli
