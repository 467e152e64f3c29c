// karat compare as a user runs it.
#include <gtest/gtest.h>

#include "base/json.h"
#include "support/program.h"

namespace karat {
namespace {

using base::Json;
using test::Outcome;
using test::refused;
using test::run_karat;
using test::succeeded;

const std::string kTiny = test::fixture("tiny-random");
const std::string kConverted = test::fixture("goldens/gguf/tiny-bf16.gguf");
const std::string kStockQ8 = test::fixture("goldens/llama_cpp/tiny-Q8_0.gguf");

Json compare(std::vector<std::string> line) {
  line.insert(line.begin(), "compare");
  line.emplace_back("--json");
  const Outcome outcome = run_karat(line);
  EXPECT_TRUE(succeeded(outcome));
  return base::parse_json(outcome.out);
}

TEST(Compare, ACheckpointEqualsItsConversion) {
  const Json json = compare({kTiny, kConverted, "--tensors"});
  EXPECT_EQ(json.at("relative_rms").as_double(), 0);
  EXPECT_EQ(json.at("tensors").as_array().size(), 96u);
  EXPECT_TRUE(json.at("metadata").as_array().empty());
  EXPECT_TRUE(json.at("only_in_a").as_array().empty());
  EXPECT_TRUE(json.at("like_for_like").as_bool());
}

TEST(Compare, OursAgainstStock) {
  test::TempDir dir;
  const std::string ours = dir.path("q.gguf");
  ASSERT_TRUE(succeeded(run_karat({"quantize", kTiny, ours, "Q8_0"})));
  const Json json = compare({kTiny, ours, "--against", kStockQ8});
  EXPECT_GT(json.at("relative_rms").as_double(), 0);
  EXPECT_LE(json.at("max_ratio").as_double(), 1);
  // The other way round it is above, and the gate closes.
  EXPECT_GT(compare({kTiny, kStockQ8, "--against", ours}).at("max_ratio").as_double(), 1);
  const Outcome gate =
      run_karat({"compare", kTiny, kStockQ8, "--against", ours, "--max-ratio", "1"});
  EXPECT_EQ(gate.status, 6) << gate.err;
  EXPECT_FALSE(gate.out.empty());
}

TEST(Compare, MissingTensorsAreListed) {
  const Json json = compare({kConverted, test::fixture("goldens/imatrix/tiny-f32.imatrix.gguf")});
  EXPECT_EQ(json.at("only_in_a").as_array().size(), 96u);
  EXPECT_TRUE(json.at("tensors").as_array().empty());
}

TEST(Compare, WrongArguments) {
  EXPECT_TRUE(refused(run_karat({"compare", kTiny}), 2, {"B"}));
  EXPECT_TRUE(
      refused(run_karat({"compare", kTiny, kConverted, "--max-ratio", "1"}), 2, {"--against"}));
  EXPECT_TRUE(refused(run_karat({"compare", kTiny, "nowhere.gguf"}), 3, {"nowhere.gguf"}));
  EXPECT_TRUE(refused(run_karat({"compare", kTiny, kTiny + "/config.json"}), 3, {"config.json"}));
}

}  // namespace
}  // namespace karat
