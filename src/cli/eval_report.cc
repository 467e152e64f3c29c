#include "cli/eval_report.h"

#include "base/text.h"

namespace karat::cli {

using base::Json;
using base::strf;

namespace {

std::string row(const char* name, const eval::Estimate& estimate) {
  return strf("%-29s: %10.6lf \u00b1 %10.6lf\n", name, estimate.value, estimate.error);
}

std::string percent_row(const char* name, const eval::Estimate& estimate) {
  return strf("%-14s: %6.3lf \u00b1 %5.3lf %%\n", name, 100 * estimate.value, 100 * estimate.error);
}

// "Maximum", "99.9%", "Median", ..., "Minimum" as llama-perplexity names them.
std::string percentile_name(double percent, const char* what) {
  if (percent == 100) return std::string("Maximum") + what;
  if (percent == 0) return std::string("Minimum") + what;
  if (percent == 50) return std::string("Median ") + what;
  return strf("%5.1f%%  ", percent) + what;
}

std::string percentile_key(double percent) {
  if (percent == 100) return "max";
  if (percent == 0) return "min";
  if (percent == 50) return "median";
  return strf("%g", percent);
}

Json estimate_json(const eval::Estimate& estimate) {
  Json json = Json::object();
  json.set("value", estimate.value);
  json.set("se", estimate.error);
  return json;
}

Json interval_json(const eval::Interval& interval) {
  return Json(Json::Array{Json(interval.low), Json(interval.high)});
}

Json percentiles_json(const std::vector<std::pair<double, double>>& percentiles) {
  Json json = Json::object();
  for (const auto& [percent, value] : percentiles) json.set(percentile_key(percent), value);
  return json;
}

std::string perplexity_rows(const eval::DivergenceResult& r) {
  return "====== Perplexity statistics ======\n" + row("Mean PPL(Q)", r.ppl) +
         row("Mean PPL(base)", r.ppl_base) +
         strf("%-29s: %6.2lf%%\n", "Cor(ln(PPL(Q)), ln(PPL(base)))", 100 * r.correlation) +
         row("Mean ln(PPL(Q)/PPL(base))", r.ln_ratio) + row("Mean PPL(Q)/PPL(base)", r.ratio) +
         row("Mean PPL(Q)-PPL(base)", r.difference);
}

std::string kld_rows(const eval::DivergenceResult& r) {
  std::string text =
      "\n====== KL divergence statistics ======\n" +
      strf("Mean    KLD: %10.6lf \u00b1 %10.6lf\n", r.kld.value, r.kld.error) +
      strf("95%% interval (bootstrap over %lld chunks): %.6f .. %.6f\n",
           static_cast<long long>(r.chunks), r.kld_interval.low, r.kld_interval.high);
  for (const auto& [percent, value] : r.kld_percentiles) {
    text += strf("%s: %10.6f\n", percentile_name(percent, " KLD").c_str(), value);
  }
  return text;
}

std::string delta_p_rows(const eval::DivergenceResult& r) {
  std::string text = "\n====== Token probability statistics ======\n" +
                     strf("Mean    \u0394p: %6.3lf \u00b1 %5.3lf %%\n", 100 * r.delta_p.value,
                          100 * r.delta_p.error);
  for (const auto& [percent, value] : r.delta_p_percentiles) {
    text += strf("%s: %6.3lf%%\n", percentile_name(percent, " \u0394p").c_str(), 100 * value);
  }
  return text + percent_row("RMS \u0394p    ", r.rms_delta_p) +
         percent_row("Same top p", r.same_top);
}

}  // namespace

std::string perplexity_text(const eval::PerplexityResult& r) {
  return strf("Final estimate: PPL = %.4lf +/- %.5lf\n", r.ppl.value, r.ppl.error) +
         strf("95%% interval (bootstrap over %lld chunks): %.4f .. %.4f; %lld tokens scored\n",
              static_cast<long long>(r.chunks), r.ppl_interval.low, r.ppl_interval.high,
              static_cast<long long>(r.chunks * r.scored));
}

Json perplexity_json(const eval::PerplexityResult& r) {
  Json json = Json::object();
  json.set("ppl", r.ppl.value);
  json.set("ppl_se", r.ppl.error);
  json.set("ppl_interval_95", interval_json(r.ppl_interval));
  json.set("nll", r.mean_nll.value);
  json.set("nll_se", r.mean_nll.error);
  json.set("chunks", r.chunks);
  json.set("tokens_scored", r.chunks * r.scored);
  return json;
}

std::string divergence_text(const eval::DivergenceResult& r) {
  return perplexity_rows(r) + kld_rows(r) + delta_p_rows(r) +
         strf("%lld tokens scored\n", static_cast<long long>(r.tokens));
}

Json divergence_json(const eval::DivergenceResult& r) {
  Json json = Json::object();
  json.set("kld", r.kld.value);
  json.set("kld_se", r.kld.error);
  json.set("kld_interval_95", interval_json(r.kld_interval));
  json.set("same_top", r.same_top.value);
  json.set("same_top_se", r.same_top.error);
  json.set("percentiles", percentiles_json(r.kld_percentiles));
  json.set("ppl", r.ppl.value);
  json.set("ppl_se", r.ppl.error);
  json.set("ppl_base", r.ppl_base.value);
  json.set("ppl_base_se", r.ppl_base.error);
  json.set("ln_ppl_ratio", estimate_json(r.ln_ratio));
  json.set("ppl_ratio", estimate_json(r.ratio));
  json.set("ppl_difference", estimate_json(r.difference));
  json.set("correlation", r.correlation);
  json.set("delta_p", estimate_json(r.delta_p));
  json.set("delta_p_rms", estimate_json(r.rms_delta_p));
  json.set("delta_p_percentiles", percentiles_json(r.delta_p_percentiles));
  json.set("chunks", r.chunks);
  json.set("tokens_scored", r.tokens);
  Json chunks = Json::array();
  for (const double kld : r.chunk_kld) chunks.push(kld);
  json.set("chunk_kld", std::move(chunks));
  return json;
}

}  // namespace karat::cli
