// calibrate -o FOLDER: the imatrix, routing and outliers of one pass.
#include <gtest/gtest.h>

#include "base/json.h"
#include "format/imatrix.h"
#include "support/program.h"

namespace karat {
namespace {

using test::refused;
using test::run_karat;
using test::succeeded;

const std::string kTiny = std::string(KARAT_ROOT) + "/tests/fixtures/tiny-random";

class Stats : public testing::Test {
 protected:
  test::Outcome calibrate(const std::string& out, const std::vector<std::string>& more = {}) {
    std::vector<std::string> line = {
        "calibrate",      "-m", kTiny, "-f", text_, "-c", "64", "--chunks", "8", "-o",
        folder_.path(out)};
    line.insert(line.end(), more.begin(), more.end());
    return run_karat(line);
  }
  std::string bytes(const std::string& name) const { return test::read_bytes(folder_.path(name)); }
  test::TempDir folder_;
  const std::string text_ = kTiny + "/merges.txt";
};

TEST_F(Stats, HoldTheSameImatrixAndTheRestOfThePass) {
  ASSERT_TRUE(succeeded(calibrate("plain.gguf")));
  const test::Outcome outcome = calibrate("stats");
  ASSERT_TRUE(succeeded(outcome));
  EXPECT_EQ(bytes("stats/imatrix.gguf"), bytes("plain.gguf"));
  const base::Json outliers = base::parse_json(bytes("stats/outliers.json"));
  EXPECT_EQ(outliers.at("layers").as_array().size(), 5u);
  EXPECT_TRUE(outliers.at("super_experts").as_array().empty());
  EXPECT_NE(outcome.out.find("Rows of each of 8 experts"), std::string::npos) << outcome.out;
  EXPECT_NE(outcome.out.find("No super expert"), std::string::npos);
  EXPECT_TRUE(refused(calibrate("stats"), 7, {"imatrix.gguf"}));
  EXPECT_TRUE(succeeded(calibrate("stats", {"--force", "-q"})));
}

TEST_F(Stats, AreTheSameStreamedAndWithOtherThreads) {
  ASSERT_TRUE(succeeded(calibrate("a", {"-t", "1"})));
  ASSERT_TRUE(succeeded(calibrate("b", {"-t", "5", "--stream", "on"})));
  for (const char* file :
       {"/imatrix.gguf", "/routing.safetensors", "/outliers.json", "/text.packet"}) {
    EXPECT_EQ(bytes(std::string("a") + file), bytes(std::string("b") + file)) << file;
  }
}

TEST_F(Stats, OfAllExpertsCountEveryRow) {
  ASSERT_TRUE(succeeded(calibrate("all.gguf", {"--all-experts"})));
  ASSERT_TRUE(succeeded(calibrate("routed.gguf")));
  const auto all = format::read_imatrix(folder_.path("all.gguf")),
             routed = format::read_imatrix(folder_.path("routed.gguf"));
  const std::string up = "blk.2.ffn_up_exps.weight", query = "blk.3.attn_q.weight";
  EXPECT_EQ(all.entries.at(up).counts, std::vector<int64_t>(8, 8 * 64));
  EXPECT_NE(routed.entries.at(up).counts, all.entries.at(up).counts);
  EXPECT_EQ(all.entries.at(query).in_sum2, routed.entries.at(query).in_sum2);
  // Every expert's gate and up see the same rows.
  const auto& sums = all.entries.at(up).in_sum2;
  EXPECT_TRUE(std::equal(sums.begin(), sums.begin() + 64, sums.begin() + 5 * 64));
}

TEST_F(Stats, NeedTexts) {
  ASSERT_TRUE(succeeded(calibrate("a.gguf")));
  EXPECT_TRUE(refused(
      run_karat({"calibrate", "--in-file", folder_.path("a.gguf"), "-o", folder_.path("stats")}), 2,
      {"needs texts"}));
  EXPECT_TRUE(refused(calibrate("none/stats"), 4));
  EXPECT_TRUE(refused(run_karat({"calibrate", "-m", kTiny, "-f", folder_.path("no.txt"), "-o",
                                 folder_.path("stats")}),
                      3));
  EXPECT_EQ(folder_.file_count(), 1u);  // no folder is left behind
}

}  // namespace
}  // namespace karat
