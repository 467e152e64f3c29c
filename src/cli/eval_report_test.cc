#include "cli/eval_report.h"

#include <gtest/gtest.h>

#include <cmath>

namespace karat::cli {
namespace {

DivergenceReport example() {
  std::vector<eval::TokenDivergence> tokens(8);
  for (size_t i = 0; i < tokens.size(); ++i) {
    const double x = static_cast<double>(i);
    tokens[i] = {.kld = 0.01 * x, .nll = 1 + 0.1 * x, .nll_base = 1.05 + 0.09 * x};
    tokens[i].p = std::exp(-tokens[i].nll), tokens[i].p_base = std::exp(-tokens[i].nll_base);
    tokens[i].same_top = i != 3;
  }
  DivergenceReport report;
  report.model = eval::summarize_divergence(tokens, 2, 1);
  return report;
}

// Mean KLD per chunk 0.015 and 0.055; the other's twice that, the floor's a tenth.
DivergenceReport compared() {
  DivergenceReport report = example();
  report.against = report.model, report.floors = {{eval::Floor::bf16, report.model}};
  for (double& kld : report.against->chunk_kld) kld *= 2;
  for (double& kld : report.floors[0].second.chunk_kld) kld *= 0.1;
  report.against->kld.value *= 2, report.floors[0].second.kld.value *= 0.1;
  report.paired = eval::compare_paired(report.model.chunk_kld, report.against->chunk_kld,
                                       report.floors[0].second.chunk_kld, 1);
  return report;
}

bool has_line(const std::string& text, const std::string& line) {
  return ("\n" + text).find("\n" + line) != std::string::npos;
}

TEST(EvalReport, RowsHaveLlamaPerplexitysNames) {
  const std::string text = divergence_text(example());
  for (const char* name : {"Mean PPL(Q)                  : ", "Mean PPL(base)               : ",
                           "Cor(ln(PPL(Q)), ln(PPL(base))): ", "Mean ln(PPL(Q)/PPL(base))    : ",
                           "Mean PPL(Q)/PPL(base)        : ", "Mean PPL(Q)-PPL(base)        : ",
                           "Mean    KLD: ", "Maximum KLD: ", " 99.9%   KLD: ", "Median  KLD: ",
                           "Minimum KLD: ", "Mean    \u0394p: ", "RMS \u0394p ", "Same top p"}) {
    EXPECT_TRUE(has_line(text, name)) << name << "\n" << text;
  }
  EXPECT_TRUE(has_line(text, "Mean    KLD:   0.035000 "));
  EXPECT_TRUE(has_line(text, "Maximum KLD:   0.070000"));
}

TEST(EvalReport, JsonHasTheTopLevelKeys) {
  const base::Json json = divergence_json(example());
  EXPECT_DOUBLE_EQ(json.at("kld").as_double(), 0.035);
  EXPECT_DOUBLE_EQ(json.at("same_top").as_double(), 7.0 / 8);
  EXPECT_DOUBLE_EQ(json.at("percentiles").at("max").as_double(), 0.07);
  EXPECT_DOUBLE_EQ(json.at("percentiles").at("median").as_double(), 0.035);
  EXPECT_EQ(json.at("chunk_kld").as_array().size(), 2u);
  for (const char* key : {"kld_se", "ppl", "ppl_se", "ppl_base", "kld_interval_95"}) {
    EXPECT_NE(json.find(key), nullptr) << key;
  }
}

TEST(EvalReport, FloorAndTheOtherModelStandBesideTheKld) {
  const std::string text = divergence_text(compared());
  EXPECT_TRUE(has_line(text, "Floor, bf16   :   0.003500, 95% interval ")) << text;
  EXPECT_TRUE(has_line(text, "Ratio                 :   0.5000, 95% interval 0.5000 .. 0.5000"));
  EXPECT_TRUE(has_line(text, "Ratio above the floor :   0.4737, 95% interval 0.4737 .. 0.4737"));
  const base::Json json = divergence_json(compared());
  EXPECT_DOUBLE_EQ(json.at("floor").at("bf16").at("kld").as_double(), 0.0035);
  EXPECT_EQ(json.at("floor").at("used").as_string(), "bf16");
  EXPECT_NEAR(json.at("kld_above_floor").as_double(), 0.0315, 1e-15);
  EXPECT_DOUBLE_EQ(json.at("against").at("kld").as_double(), 0.07);
  EXPECT_NEAR(json.at("against").at("ratio_above_floor").as_double(), 0.9 / 1.9, 1e-12);
  EXPECT_EQ(json.at("against").at("ratio_interval_95").as_array().size(), 2u);
  EXPECT_EQ(divergence_json(example()).find("floor"), nullptr);
  EXPECT_EQ(divergence_json(example()).find("against"), nullptr);
}

TEST(EvalReport, NoRatioIsSaidAndNull) {
  DivergenceReport report = compared();
  report.paired->above_floor.reset();
  EXPECT_TRUE(
      has_line(divergence_text(report), "Ratio above the floor : none, the other model's is zero"));
  EXPECT_TRUE(divergence_json(report).at("against").at("ratio_above_floor").is_null());
}

TEST(EvalReport, Perplexity) {
  const auto result = eval::summarize_perplexity({1, 2, 3, 4}, 2, 0);
  EXPECT_TRUE(has_line(perplexity_text(result), "Final estimate: PPL = 12.1825 +/- 7.86"));
  EXPECT_DOUBLE_EQ(perplexity_json(result).at("ppl").as_double(), std::exp(2.5));
  EXPECT_EQ(perplexity_json(result).at("tokens_scored").as_int(), 4);
}

}  // namespace
}  // namespace karat::cli
