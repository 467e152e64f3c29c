#include "cli/eval_report.h"

#include <gtest/gtest.h>

#include <cmath>

namespace karat::cli {
namespace {

eval::DivergenceResult example() {
  std::vector<eval::TokenDivergence> tokens(8);
  for (size_t i = 0; i < tokens.size(); ++i) {
    const double x = static_cast<double>(i);
    tokens[i] = {.kld = 0.01 * x, .nll = 1 + 0.1 * x, .nll_base = 1.05 + 0.09 * x};
    tokens[i].p = std::exp(-tokens[i].nll), tokens[i].p_base = std::exp(-tokens[i].nll_base);
    tokens[i].same_top = i != 3;
  }
  return eval::summarize_divergence(tokens, 2, 1);
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

TEST(EvalReport, Perplexity) {
  const auto result = eval::summarize_perplexity({1, 2, 3, 4}, 2, 0);
  EXPECT_TRUE(has_line(perplexity_text(result), "Final estimate: PPL = 12.1825 +/- 7.86"));
  EXPECT_DOUBLE_EQ(perplexity_json(result).at("ppl").as_double(), std::exp(2.5));
  EXPECT_EQ(perplexity_json(result).at("tokens_scored").as_int(), 4);
}

}  // namespace
}  // namespace karat::cli
