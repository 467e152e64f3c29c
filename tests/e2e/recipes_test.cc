// The recipes for the real checkpoint, on the tiny one.
#include <gtest/gtest.h>

#include "base/file.h"
#include "calib/packet_recipe.h"
#include "support/program.h"

namespace karat {
namespace {

const std::string kRoot = KARAT_ROOT;
const std::string kTiny = kRoot + "/tests/fixtures/tiny-random";

TEST(Recipes, ThePacketTemplateIsOne) {
  const std::string path = kRoot + "/recipes/packet.toml";
  const calib::PacketRecipe recipe = calib::parse_packet_recipe(base::read_file(path), path);
  EXPECT_EQ(recipe.tokens, 262144);
  EXPECT_EQ(recipe.domains.size(), 6u);
}

TEST(Recipes, RunThroughAndSkipWhatIsThere) {
  const test::TempDir folder;
  const std::string prose = test::read_bytes(kRoot + "/demo/model/text/calibration.txt");
  folder.write("texts.txt", prose.substr(0, 40000));
  folder.write("eval.txt", prose.substr(100000, 12000));
  folder.write("packet.toml", R"(schema = 1
tokens = 4096
context = 512
[[domain]]
name = "prose"
share = 1
[[domain.source]]
path = "texts.txt"
form = "paragraphs"
[[evaluation]]
name = "eval"
path = "eval.txt"
form = "file"
)");
  const auto run = [&] {
    test::Process process({"/bin/sh", kRoot + "/recipes/q4_k_m", kTiny, folder.path("out"),
                           folder.path("eval.txt"), folder.path("packet.toml")},
                          {.environment = {std::string("KARAT=") + KARAT_PROGRAM}});
    return process.wait();
  };
  const test::Outcome first = run();
  ASSERT_EQ(first.status, 0) << first.err;
  const std::string file = folder.path("out/Qwen3.6-35B-A3B-Q4_K_M.gguf");
  const std::string bytes = test::read_bytes(file);
  EXPECT_FALSE(bytes.empty());
  const test::Outcome second = run();
  ASSERT_EQ(second.status, 0) << second.err;
  EXPECT_EQ(test::read_bytes(file), bytes);
  EXPECT_LT(second.out.size(), first.out.size());
}

}  // namespace
}  // namespace karat
