#include "cli/fit_report.h"

#include <gtest/gtest.h>

namespace karat::cli {
namespace {

Fit example(uint64_t allowed) {
  Fit fit;
  fit.plan.request = {.context = 1000, .cache = {tensor::DType::f16, tensor::DType::q8_0}};
  fit.plan.weights = {.experts = 20'000'000, .attention = 5'000'000, .mtp = 700'000};
  fit.plan.cache_per_token = 3000;
  fit.plan.state_per_sequence = 60'000;
  fit.plan.scratch = 40'000;
  fit.allowed = allowed;
  fit.limit = "--mem-limit allows";
  fit.context_max = 4096;
  fit.advice = {.context = 400, .context_q8_0 = 900, .streamed_bytes = 1'000'000};
  return fit;
}

TEST(FitReport, SaysWhatIsNeededAndWhatFits) {
  const std::string text = fit_text("m.gguf", example(30'000'000));
  for (const char* word : {"m.gguf: context 1000, keys f16, values q8_0", "routed experts",
                           "3000 bytes per token", "not loaded", "(28.10 MB)",
                           "\nfits; largest context: 400, with -ctk q8_0 -ctv q8_0: 900 (the "
                           "model's is 4096)"}) {
    EXPECT_NE(text.find(word), std::string::npos) << word << "\n" << text;
  }
  EXPECT_EQ(text.find("would fit"), std::string::npos);
}

TEST(FitReport, ARefusalNamesEveryRemedy) {
  Fit fit = example(26'000'000);
  const recipe::Preset& preset = recipe::preset_named("IQ3_S");
  fit.advice.smaller = &preset;
  fit.advice.smaller_bytes = 15'000'000;
  const std::string refusal = fit_refusal("m.gguf", fit);
  for (const char* word : {"at a context of 1000", "--mem-limit allows", "-c 400", "-ctk q8_0",
                           "with -c 900", "IQ3_S", "eval and calibrate"}) {
    EXPECT_NE(refusal.find(word), std::string::npos) << word << "\n" << refusal;
  }
  EXPECT_EQ(refusal.find('\n'), std::string::npos);
  EXPECT_NE(fit_text("m.gguf", fit).find("does not fit"), std::string::npos);
}

TEST(FitReport, JsonAddsUp) {
  const base::Json json = fit_json("m.gguf", example(26'000'000));
  EXPECT_FALSE(json.at("fits").as_bool());
  EXPECT_EQ(json.at("weights").at("total").as_uint() + json.at("kv_bytes").as_uint() +
                json.at("state_bytes").as_uint() + json.at("scratch_bytes").as_uint(),
            json.at("total_bytes").as_uint());
  EXPECT_EQ(json.at("type_v").as_string(), "q8_0");
  EXPECT_EQ(json.at("context_fits").as_uint(), 400);
}

}  // namespace
}  // namespace karat::cli
