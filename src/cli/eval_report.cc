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

Json chunks_json(const eval::DivergenceResult& r) {
  Json chunks = Json::array();
  for (const double kld : r.chunk_kld) chunks.push(kld);
  return chunks;
}

std::string perplexity_rows(const eval::DivergenceResult& r) {
  return "====== Perplexity statistics ======\n" + row("Mean PPL(Q)", r.ppl) +
         row("Mean PPL(base)", r.ppl_base) +
         strf("%-29s: %6.2lf%%\n", "Cor(ln(PPL(Q)), ln(PPL(base)))", 100 * r.correlation) +
         row("Mean ln(PPL(Q)/PPL(base))", r.ln_ratio) + row("Mean PPL(Q)/PPL(base)", r.ratio) +
         row("Mean PPL(Q)-PPL(base)", r.difference);
}

// A KLD never stands alone: what the arithmetic makes of the reference is beside it.
std::string floor_rows(const DivergenceReport& report) {
  std::string text;
  for (const auto& [floor, r] : report.floors) {
    text += strf("Floor, %-4s   : %10.6f, 95%% interval %.6f .. %.6f\n",
                 std::string(eval::floor_name(floor)).c_str(), r.kld.value, r.kld_interval.low,
                 r.kld_interval.high);
  }
  return text;
}

std::string ratio_row(const char* name, const std::optional<eval::Ratio>& ratio) {
  if (!ratio) return strf("%-22s: none, the other model's is zero\n", name);
  return strf("%-22s: %8.4f, 95%% interval %.4f .. %.4f\n", name, ratio->value, ratio->interval.low,
              ratio->interval.high);
}

std::string against_rows(const DivergenceReport& report) {
  if (!report.against) return "";
  const eval::PairedComparison& paired = *report.paired;
  std::string text =
      "\n====== In pairs (bootstrap over the same chunks) ======\n" +
      strf("Mean KLD of the other : %10.6f, 95%% interval %.6f .. %.6f\n",
           report.against->kld.value, report.against->kld_interval.low,
           report.against->kld_interval.high) +
      strf("Difference            : %10.6f, 95%% interval %.6f .. %.6f\n", paired.difference,
           paired.difference_interval.low, paired.difference_interval.high) +
      ratio_row("Ratio", paired.ratio);
  if (!report.floors.empty()) text += ratio_row("Ratio above the floor", paired.above_floor);
  return text;
}

std::string kld_rows(const DivergenceReport& report) {
  const eval::DivergenceResult& r = report.model;
  std::string text =
      "\n====== KL divergence statistics ======\n" +
      strf("Mean    KLD: %10.6lf \u00b1 %10.6lf\n", r.kld.value, r.kld.error) +
      strf("95%% interval (bootstrap over %lld chunks): %.6f .. %.6f\n",
           static_cast<long long>(r.chunks), r.kld_interval.low, r.kld_interval.high) +
      floor_rows(report);
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

std::string divergence_text(const DivergenceReport& report) {
  return perplexity_rows(report.model) + kld_rows(report) + delta_p_rows(report.model) +
         against_rows(report) +
         strf("%lld tokens scored\n", static_cast<long long>(report.model.tokens));
}

namespace {

// What a divergence that is compared with the model's says of itself.
Json short_json(const eval::DivergenceResult& r) {
  Json json = Json::object();
  json.set("kld", r.kld.value);
  json.set("kld_se", r.kld.error);
  json.set("kld_interval_95", interval_json(r.kld_interval));
  json.set("same_top", r.same_top.value);
  json.set("chunk_kld", chunks_json(r));
  return json;
}

void set_ratio(Json& json, const std::string& key, const std::optional<eval::Ratio>& ratio) {
  json.set(key, ratio ? Json(ratio->value) : Json());
  json.set(key + "_interval_95", ratio ? interval_json(ratio->interval) : Json());
}

void add_comparisons(const DivergenceReport& report, Json& json) {
  if (!report.floors.empty()) {
    Json floor = Json::object();
    for (const auto& [which, r] : report.floors) {
      floor.set(std::string(eval::floor_name(which)), short_json(r));
    }
    const auto& [which, r] = report.floors[report.floor];
    floor.set("used", std::string(eval::floor_name(which)));
    json.set("floor", std::move(floor));
    json.set("kld_above_floor", report.model.kld.value - r.kld.value);
  }
  if (!report.against) return;
  Json against = short_json(*report.against);
  against.set("difference", report.paired->difference);
  against.set("difference_interval_95", interval_json(report.paired->difference_interval));
  set_ratio(against, "ratio", report.paired->ratio);
  if (!report.floors.empty()) set_ratio(against, "ratio_above_floor", report.paired->above_floor);
  json.set("against", std::move(against));
}

}  // namespace

Json divergence_json(const DivergenceReport& report) {
  const eval::DivergenceResult& r = report.model;
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
  json.set("chunk_kld", chunks_json(r));
  add_comparisons(report, json);
  return json;
}

}  // namespace karat::cli
