// karat bench from the outside: which tests it runs and what it prints, never how fast.
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

base::Json results(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), {"bench", "-o", "json"});
  const Outcome outcome = run_karat(arguments);
  EXPECT_TRUE(succeeded(outcome));
  return base::parse_json(outcome.out);
}

TEST(Bench, NamesCountsAndFieldsOfEveryTest) {
  const base::Json json =
      results({"-m", kDemo, "-p", "16,8", "-n", "4",  "-pg", "8,2", "-d", "0",    "-d",
               "32", "-r",  "2",  "-t",   "2",  "-b", "8",   "-ub", "64", "-ctv", "q8_0"});
  std::string names;
  for (const base::Json& test : json.as_array()) {
    names += test.at("test").as_string() + ";";
    EXPECT_EQ(test.at("samples_ns").as_array().size(), 2u);
    EXPECT_EQ(test.at("samples_ts").as_array().size(), 2u);
    EXPECT_GT(test.at("avg_ts").as_double(), 0);
    EXPECT_GT(test.at("memory_read_gb_s").as_double(), 0);
    EXPECT_EQ(test.at("n_threads").as_int(), 2);
    EXPECT_EQ(test.at("n_batch").as_int(), 8);
    EXPECT_EQ(test.at("type_k").as_string() + test.at("type_v").as_string(), "f16q8_0");
    EXPECT_EQ(test.at("n_ubatch").as_int(), 8);
    EXPECT_EQ(test.at("model_filename").as_string(), kDemo);
    EXPECT_EQ(test.at("model_type").as_string(), "qwen35moe 24M-A8M bf16");
    EXPECT_EQ(test.at("n_depth").as_int(), names.find("@") == std::string::npos ? 0 : 32);
  }
  EXPECT_EQ(names, "pp16;pp8;tg4;pp8+tg2;pp16 @ d32;pp8 @ d32;tg4 @ d32;pp8+tg2 @ d32;");
}

TEST(Bench, DefaultsAreLlamaBenchs) {
  const base::Json json = results({"-m", kTiny, "-r", "1"});
  ASSERT_EQ(json.as_array().size(), 2u);
  EXPECT_EQ(json.as_array()[0].at("test").as_string(), "pp512");
  EXPECT_EQ(json.as_array()[1].at("test").as_string(), "tg128");
}

TEST(Bench, EveryForm) {
  const auto form = [](const std::string& name) {
    const Outcome outcome =
        run_karat({"bench", "-m", kTiny, "-p", "8", "-n", "2", "-r", "1", "-o", name});
    EXPECT_TRUE(succeeded(outcome));
    return outcome.out;
  };
  EXPECT_EQ(form("csv").find("build_commit,"), 0u);
  EXPECT_NE(form("md").find("memory read"), std::string::npos);
  const std::string lines = form("jsonl");
  EXPECT_EQ(base::parse_json(lines.substr(0, lines.find('\n'))).at("test").as_string(), "pp8");
  const Outcome object =
      run_karat({"bench", "-m", kTiny, "-p", "8", "-n", "0", "-r", "1", "--json"});
  EXPECT_EQ(base::parse_json(object.out).at("tests").as_array().size(), 1u);
}

// A peer that notes how it was called and takes a second for everything.
TEST(Bench, APeerRunsInTurn) {
  const test::TempDir dir;
  const std::string peer =
      dir.write("llama-bench",
                "#!/bin/sh\necho \"$@\" >> '" + dir.path("calls") +
                    "'\necho 'loading'\n"
                    "echo '[{\"build_commit\": \"fake\", \"samples_ns\": [1, 1000000000]}]'\n");
  std::filesystem::permissions(peer, std::filesystem::perms::owner_all);
  const base::Json json = results({"-m", kTiny, "-p", "8", "-n", "2", "-r", "3", "-t", "1",
                                   "--peer", peer, "--peer-args", "-fmoe 1"});
  ASSERT_EQ(json.as_array().size(), 2u);
  const base::Json& against = json.as_array()[0].at("peer");
  EXPECT_EQ(against.at("samples_ns").as_array().size(), 3u);
  EXPECT_EQ(against.at("samples_ts").as_array()[0].as_double(), 8);
  EXPECT_EQ(against.at("build_commit").as_string(), "fake");
  EXPECT_GT(against.at("ratio").as_double(), 0);
  const std::string pp = "-m " + kTiny + " -p 8 -n 0 -t 1 -r 2 -o json -fmoe 1\n";
  const std::string tg = "-m " + kTiny + " -p 0 -n 2 -t 1 -r 2 -o json -fmoe 1\n";
  EXPECT_EQ(test::read_bytes(dir.path("calls")), "--help\n" + pp + pp + pp + tg + tg + tg);
  dir.write("calls", "");
  results({"-m", kTiny, "-p", "8", "-n", "0", "-r", "1", "-t", "1", "-b", "64", "-ub", "32",
           "--peer", peer});
  EXPECT_EQ(test::read_bytes(dir.path("calls")),
            "--help\n-m " + kTiny + " -p 8 -n 0 -t 1 -r 2 -o json -b 64 -ub 32\n");
}

TEST(Bench, Refusals) {
  EXPECT_TRUE(refused(run_karat({"bench", "-m", kTiny, "-p", "8x"}), 2, {"-p 8x", "commas"}));
  EXPECT_TRUE(refused(run_karat({"bench", "-m", kTiny, "-pg", "8"}), 2, {"-pg 8"}));
  EXPECT_TRUE(refused(run_karat({"bench", "-m", kTiny, "-p", "0", "-n", "0"}), 2, {"nothing"}));
  EXPECT_TRUE(refused(run_karat({"bench", "-m", kTiny, "--peer-args", "-x"}), 2, {"--peer"}));
  EXPECT_TRUE(refused(run_karat({"bench", "-m", kDemo, "--peer", "x"}), 2, {"convert"}));
  EXPECT_TRUE(
      refused(run_karat({"bench", "-m", kTiny, "--peer", "/nowhere/x", "--mem-limit", "1KB"}), 2,
              {"/nowhere/x"}));  // before the model's memory is asked for
  EXPECT_TRUE(refused(run_karat({"bench", "-m", "/nowhere"}), 3, {"/nowhere"}));
}

}  // namespace
}  // namespace karat
