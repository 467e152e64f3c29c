// karat plan --fit from the outside, and the same refusals before weights are read.
#include <gtest/gtest.h>

#include "base/json.h"
#include "support/program.h"

namespace karat {
namespace {

using test::fixture;
using test::Outcome;
using test::refused;
using test::run_karat;
using test::succeeded;

const std::string kDemo = std::string(KARAT_ROOT) + "/demo/model";
const std::string kTiny = fixture("goldens/gguf/tiny-f32.gguf");

TEST(PlanFit, SaysWhatTheModelTakes) {
  const Outcome outcome = run_karat({"plan", "--fit", "-m", kDemo, "-c", "1000", "--json"});
  ASSERT_TRUE(succeeded(outcome));
  const base::Json json = base::parse_json(outcome.out);
  EXPECT_TRUE(json.at("fits").as_bool());
  EXPECT_EQ(json.at("kv_bytes").as_int(), 1000 * json.at("kv_bytes_per_token").as_int());
  EXPECT_GT(json.at("weights").at("experts").as_int(), 0);
  EXPECT_GT(json.at("allowed_bytes").as_int(), json.at("total_bytes").as_int());
  const Outcome text = run_karat({"plan", "--fit", "-m", kDemo, "-c", "1000", "--mtp"});
  ASSERT_TRUE(succeeded(text));
  EXPECT_NE(text.out.find("MTP block"), std::string::npos);
  EXPECT_EQ(text.out.find("not loaded"), std::string::npos);
}

// One byte less than the demo model takes at a context of 4096.
std::string just_too_little() {
  const Outcome outcome = run_karat({"plan", "--fit", "-m", kDemo, "-c", "4096", "--json"});
  return std::to_string(base::parse_json(outcome.out).at("total_bytes").as_int() - 1);
}

TEST(PlanFit, WhatDoesNotFitIsStatus5AndStillReported) {
  const Outcome outcome =
      run_karat({"plan", "--fit", "-m", kDemo, "-c", "4096", "--mem-limit", just_too_little()});
  EXPECT_EQ(outcome.status, 5);
  EXPECT_NE(outcome.out.find("does not fit; largest context: 4095"), std::string::npos)
      << outcome.out;
  EXPECT_NE(outcome.err.find("--mem-limit allows"), std::string::npos);
  EXPECT_NE(outcome.err.find("would fit: -c 4095"), std::string::npos) << outcome.err;
  const Outcome less =
      run_karat({"plan", "--fit", "-m", kDemo, "-c", "4095", "--mem-limit", just_too_little()});
  EXPECT_TRUE(succeeded(less));
}

TEST(PlanFit, ChatAndBenchReadTheExpertsThatDoNotFit) {
  const std::string limit = just_too_little();
  const std::vector<std::string> chat = {"chat", "-m", kDemo,  "-p",     "x", "-n",
                                         "8",    "-c", "4096", "--temp", "0", "--mem-limit"};
  const auto with = [](std::vector<std::string> arguments, const std::string& last) {
    arguments.push_back(last);
    return arguments;
  };
  const Outcome all = run_karat(with(chat, "8G")), some = run_karat(with(chat, limit));
  ASSERT_TRUE(succeeded(all) && succeeded(some));
  EXPECT_EQ(some.out, all.out);
  EXPECT_EQ(all.err.find("experts stay in memory"), std::string::npos) << all.err;
  EXPECT_NE(some.err.find("experts stay in memory"), std::string::npos) << some.err;
  // Less than everything but the experts.
  for (const char* verb : {"chat", "bench"}) {
    EXPECT_TRUE(refused(run_karat({verb, "-m", kDemo, "-p", "9", "--mem-limit", "5M"}), 5,
                        {"of memory are needed", "--mem-limit allows"}))
        << verb;
  }
}

TEST(PlanFit, OtherFormsAreUsage) {
  EXPECT_TRUE(refused(run_karat({"plan", "-m", kTiny}), 2, {"--fit"}));
  EXPECT_TRUE(refused(run_karat({"plan", "--fit"}), 2, {"--model"}));
  EXPECT_TRUE(refused(run_karat({"plan", "--fit", "-m", kDemo, "-ctk", "q4_0"}), 2, {"q4_0"}));
}

}  // namespace
}  // namespace karat
