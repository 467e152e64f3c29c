// karat merge as a user runs it.
#include <gtest/gtest.h>

#include "base/json.h"
#include "support/program.h"

namespace karat {
namespace {

using test::Outcome;
using test::refused;
using test::run_karat;
using test::succeeded;

const std::string kModel = test::fixture("goldens/gguf/tiny-bf16.gguf");
const std::string kImatrix = test::fixture("goldens/imatrix/tiny-f32.imatrix.gguf");

TEST(Merge, SplitsAndMerges) {
  test::TempDir dir;
  const Outcome split = run_karat({"merge", kModel, "-o", dir.path("s.gguf"), "--split-max-size",
                                   "300K", "--no-tensor-first-split", "--json"});
  ASSERT_TRUE(succeeded(split));
  const base::Json json = base::parse_json(split.out);
  const std::string first = json.at("paths").as_array()[0].as_string();
  EXPECT_TRUE(succeeded(run_karat({"inspect", first})));
  EXPECT_TRUE(succeeded(run_karat({"verify", first})));
  const Outcome merged = run_karat({"merge", first, "-o", dir.path("m.gguf"), "-q"});
  ASSERT_TRUE(succeeded(merged));
  EXPECT_EQ(merged.out, dir.path("m.gguf") + "\n");
  EXPECT_TRUE(test::read_bytes(dir.path("m.gguf")) == test::read_bytes(kModel));
}

TEST(Merge, StatisticsAreAdded) {
  test::TempDir dir;
  const std::string one = dir.path("one.gguf"), two = dir.path("two.gguf");
  ASSERT_TRUE(succeeded(run_karat({"merge", kImatrix, kImatrix, "-o", one})));
  ASSERT_TRUE(
      succeeded(run_karat({"calibrate", "--in-file", kImatrix, "--in-file", kImatrix, "-o", two})));
  EXPECT_TRUE(test::read_bytes(one) == test::read_bytes(two));
  const Outcome shown = run_karat({"inspect", one});
  ASSERT_TRUE(succeeded(shown));
  EXPECT_NE(shown.out.find("32 chunks of 128 tokens"), std::string::npos) << shown.out;
}

TEST(Merge, WrongArguments) {
  test::TempDir dir;
  const std::string out = dir.path("o.gguf");
  EXPECT_TRUE(refused(run_karat({"merge", kModel, "-o", out}), 2, {"one file already"}));
  EXPECT_TRUE(refused(run_karat({"merge", kModel, kModel, "-o", out}), 2, {"the first"}));
  EXPECT_TRUE(refused(run_karat({"merge", kImatrix, "-o", out, "--split-max-size", "1K"}), 2,
                      {"statistics"}));
  EXPECT_TRUE(
      refused(run_karat({"merge", kModel, "-o", kModel, "--split-max-tensors", "200", "--force"}),
              7, {kModel}));
  EXPECT_TRUE(refused(run_karat({"merge", "nowhere.gguf", "-o", out}), 3, {"nowhere.gguf"}));
  EXPECT_TRUE(refused(run_karat({"merge", kModel, "-o", out, "--split-max-tensors", "0"}), 2,
                      {"--split-max-tensors"}));
  EXPECT_EQ(dir.file_count(), 0u);
}

}  // namespace
}  // namespace karat
