// karat plan from the outside: what fits, plans, and quantize --plan.
#include <gtest/gtest.h>

#include <filesystem>

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
  EXPECT_TRUE(refused(run_karat({"plan", "-m", kTiny}), 2, {"--stats"}));
  EXPECT_TRUE(refused(run_karat({"plan", "--fit"}), 2, {"--model"}));
  EXPECT_TRUE(refused(run_karat({"plan", "--fit", "-m", kDemo, "-ctk", "q4_0"}), 2, {"q4_0"}));
}

class Planned : public testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(succeeded(calibrate("stats", "2"))); }
  Outcome calibrate(const std::string& stats, const std::string& chunks,
                    const std::string& context = "512") {
    return run_karat({"calibrate", "-m", kCheckpoint, "-f", kCheckpoint + "/merges.txt", "-c",
                      context, "--chunks", chunks, "-o", folder_.path(stats), "-q"});
  }
  Outcome plan(const std::vector<std::string>& target, const std::string& out = "plan") {
    std::vector<std::string> line = {
        "plan",     "-m",   kCheckpoint, "--stats", folder_.path("stats"),
        "--effort", "fast", "--force",   "-o",      folder_.path(out)};
    line.insert(line.end(), target.begin(), target.end());
    return run_karat(line);
  }
  Outcome quantize(const std::string& out, const std::vector<std::string>& more = {},
                   const std::string& in = kCheckpoint, const std::string& stats = "stats") {
    std::vector<std::string> line = {"quantize", "--plan", folder_.path("plan"), "--stats",
                                     folder_.path(stats)};
    line.insert(line.end(), more.begin(), more.end());
    line.push_back(in);
    line.push_back(folder_.path(out));
    return run_karat(line);
  }
  uint64_t size(const std::string& name) const {
    return std::filesystem::file_size(folder_.path(name));
  }
  inline static const std::string kCheckpoint = fixture("tiny-random");
  test::TempDir folder_;
};

TEST_F(Planned, FilesHaveTheirTargetsSize) {
  for (const uint64_t target : {450'000u, 501'234u, 800'000u}) {
    ASSERT_TRUE(succeeded(plan({"--target-size", std::to_string(target)})));
    const std::string out = std::to_string(target) + ".gguf";
    ASSERT_TRUE(succeeded(quantize(out)));
    EXPECT_LE(size(out), target);
    EXPECT_GE(static_cast<double>(size(out)), 0.999 * static_cast<double>(target));
    const base::Json json = base::parse_json(test::read_bytes(folder_.path("plan")));
    EXPECT_EQ(json.at("file_bytes").as_uint(), size(out));
  }
}

TEST_F(Planned, WithHessiansTheSizeIsStillTheTargets) {
  ASSERT_TRUE(succeeded(
      run_karat({"calibrate", "-m", kCheckpoint, "-f", kCheckpoint + "/merges.txt", "--chunks", "2",
                 "--hessians", "--force", "-o", folder_.path("stats"), "-q"})));
  ASSERT_TRUE(succeeded(plan({"--target-size", "500000"})));
  ASSERT_TRUE(succeeded(quantize("h.gguf")));
  const base::Json json = base::parse_json(test::read_bytes(folder_.path("plan")));
  EXPECT_EQ(json.at("file_bytes").as_uint(), size("h.gguf"));
}

// What a killed plan has measured is taken up: the plan is the one of a run that nobody stopped.
TEST_F(Planned, KilledPlansGoOnWhereTheyWere) {
  const std::vector<std::string> target = {"--target-bpw", "6", "--cache"};
  const auto with = [&](const char* cache) {
    std::vector<std::string> line = target;
    line.push_back(folder_.path(cache));
    return line;
  };
  ASSERT_TRUE(succeeded(plan(with("whole"), "whole.json")));
  const std::vector<std::string> line = {"plan",
                                         "-m",
                                         kCheckpoint,
                                         "--stats",
                                         folder_.path("stats"),
                                         "--effort",
                                         "fast",
                                         "-o",
                                         folder_.path("killed.json"),
                                         "--target-bpw",
                                         "6",
                                         "--cache",
                                         folder_.path("killed")};
  int kept = 0;
  for (const char* limit : {"0.3", "0.6", "0.9"}) {
    run_karat(line, {.wrapper = {"/usr/bin/timeout", "-s", "KILL", limit}});
    if (!std::filesystem::exists(folder_.path("killed"))) continue;
    kept = 0;
    for (const auto& file : std::filesystem::directory_iterator(folder_.path("killed"))) {
      kept += file.path().extension() == ".json" ? 1 : 0;
    }
  }
  ASSERT_TRUE(succeeded(plan(with("killed"), "killed.json")));
  EXPECT_EQ(test::read_bytes(folder_.path("killed.json")),
            test::read_bytes(folder_.path("whole.json")))
      << kept << " results had been kept";
}

TEST_F(Planned, LikeATypeAndBitsPerWeight) {
  const Outcome like = plan({"--like", "Q4_0", "--json", "--explain"});
  ASSERT_TRUE(succeeded(like));
  const Outcome dry =
      run_karat({"quantize", "--dry-run", "--imatrix", folder_.path("stats/imatrix.gguf"),
                 kCheckpoint, folder_.path("x.gguf"), "Q4_0", "--json"});
  ASSERT_TRUE(succeeded(dry));
  const auto bytes = [](const Outcome& outcome) {
    return base::parse_json(outcome.out).at("data_bytes").as_double();
  };
  EXPECT_LE(bytes(like), bytes(dry));
  EXPECT_GE(bytes(like), 0.999 * bytes(dry));
  const Outcome bits = plan({"--target-bpw", "6.5", "--json"});
  ASSERT_TRUE(succeeded(bits));
  const double reached = base::parse_json(bits.out).at("bits_per_weight").as_double();
  EXPECT_LE(reached, 6.5);
  EXPECT_GE(reached, 6.5 * 0.999);
  // The cache holds everything: the second plan reads it and says the same.
  EXPECT_EQ(plan({"--target-bpw", "6.5", "--json", "-t", "1"}, "again").out, bits.out);
  EXPECT_EQ(test::read_bytes(folder_.path("again")), test::read_bytes(folder_.path("plan")));
}

TEST_F(Planned, TargetsOutOfReachAreRefusedWithTheRange) {
  for (const char* target : {"10K", "1G"}) {
    EXPECT_TRUE(refused(plan({"--target-size", target}), 2, {"is not possible", "files", "to"}))
        << target;
  }
  EXPECT_TRUE(refused(plan({"--target-bpw", "1.5"}), 2, {"1.5 bits per weight is not possible"}));
  EXPECT_TRUE(refused(plan({"--target-bpw", "5", "--like", "Q4_0"}), 2, {"give one of"}));
  EXPECT_TRUE(refused(plan({}), 2, {"give one of"}));
  EXPECT_TRUE(refused(plan({"--fit-ram", "100K", "-c", "4096"}), 2, {"alone take"}));
  EXPECT_FALSE(std::filesystem::exists(folder_.path("plan")));
}

TEST_F(Planned, OtherModelsStatisticsAndOptionsAreRefused) {
  ASSERT_TRUE(succeeded(plan({"--target-bpw", "6.5"})));
  EXPECT_TRUE(refused(quantize("o.gguf", {}, kDemo), 2, {"another model"}));
  ASSERT_TRUE(succeeded(calibrate("others", "2", "256")));
  EXPECT_TRUE(refused(quantize("o.gguf", {}, kCheckpoint, "others"), 2, {"other statistics"}));
  EXPECT_TRUE(refused(quantize("o.gguf", {"--pure"}), 2, {"--plan decides"}));
  EXPECT_TRUE(
      refused(run_karat({"quantize", "--plan", folder_.path("plan"), "--stats",
                         folder_.path("stats"), kCheckpoint, folder_.path("o.gguf"), "Q4_K_M"}),
              2, {"takes no TYPE"}));
  EXPECT_FALSE(std::filesystem::exists(folder_.path("o.gguf")));
}

TEST_F(Planned, LlamaQuantizesTypeFileGivesTheSameTypes) {
  ASSERT_TRUE(succeeded(plan({"--target-bpw", "6.5", "--tensor-types", folder_.path("types")})));
  ASSERT_TRUE(succeeded(quantize("plan.gguf")));
  ASSERT_TRUE(succeeded(
      run_karat({"quantize", "--imatrix", folder_.path("stats/imatrix.gguf"), "--tensor-type-file",
                 folder_.path("types"), kCheckpoint, folder_.path("types.gguf"), "Q8_0"})));
  const auto types = [&](const std::string& file) {
    const Outcome outcome = run_karat({"inspect", folder_.path(file), "--tensors"});
    return outcome.out.substr(outcome.out.find("output.weight"));
  };
  EXPECT_EQ(types("plan.gguf"), types("types.gguf"));
}

}  // namespace
}  // namespace karat
