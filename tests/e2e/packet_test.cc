// Calibration packets as a user makes and takes them.
#include <gtest/gtest.h>

#include <filesystem>

#include "base/json.h"
#include "format/imatrix.h"
#include "support/program.h"

namespace karat {
namespace {

using base::Json;
using test::refused;
using test::run_karat;
using test::succeeded;

const std::string kTiny = std::string(KARAT_ROOT) + "/tests/fixtures/tiny-random";

class PacketVerb : public testing::Test {
 protected:
  PacketVerb() {
    std::string lines;
    for (int i = 0; i < 200; ++i) {
      lines += "Line " + std::to_string(i * i) + " weighs " + std::to_string(i * 37) +
               " grains, and what is left of it is dust.\n";
    }
    folder_.write("text.txt", lines);
    folder_.write("eval.txt",
                  "Nothing of this evaluation set stands in the text beside it at all\n");
    write_recipe("");
  }

  void write_recipe(const std::string& top) {
    folder_.write("r.toml", top + R"(
schema = 1
tokens = 1500
context = 128
[[domain]]
name = "text"
share = 1
[[domain.source]]
path = "text.txt"
form = "lines"
[[evaluation]]
name = "planted"
path = "eval.txt"
form = "lines"
)");
  }

  test::Outcome make(const std::string& out, std::vector<std::string> more = {}) {
    std::vector<std::string> line = {"calibrate", "--packet", folder_.path("r.toml"), "-m",
                                     kTiny,       "-o",       folder_.path(out)};
    line.insert(line.end(), more.begin(), more.end());
    return run_karat(line);
  }
  Json json_of(const std::string& name) const {
    return base::parse_json(test::read_bytes(folder_.path(name)));
  }
  test::TempDir folder_;
};

TEST_F(PacketVerb, SameSeedSameBytesWithReceiptAndReport) {
  ASSERT_TRUE(succeeded(make("a")));
  ASSERT_TRUE(succeeded(make("b", {"-t", "3"})));
  ASSERT_TRUE(succeeded(make("c", {"--seed", "9", "--tokens", "1001"})));
  EXPECT_EQ(test::read_bytes(folder_.path("a")), test::read_bytes(folder_.path("b")));
  EXPECT_EQ(test::read_bytes(folder_.path("a.report.json")),
            test::read_bytes(folder_.path("b.report.json")));
  const Json report = json_of("c.report.json"), receipt = json_of("c.receipt.json");
  EXPECT_EQ(report.at("tokens"), 1001);
  EXPECT_EQ(report.at("seed"), 9);
  EXPECT_EQ(receipt.at("options").at("tokens"), 1001);
  EXPECT_EQ(receipt.at("inputs").as_array().size(), 3u);
  EXPECT_EQ(receipt.at("inputs").as_array()[0].at("name"), "r.toml");
  EXPECT_TRUE(refused(make("a"), 7));  // it is there already
}

TEST_F(PacketVerb, IsTakenInPlaceOfATextAndItsSequencesRunWhole) {
  ASSERT_TRUE(succeeded(make("p")));
  const auto calibrate = [&](const std::string& out, const std::vector<std::string>& more) {
    std::vector<std::string> line = {
        "calibrate", "-m", kTiny, "-f", folder_.path("p"), "-c", "64", "-o", folder_.path(out)};
    line.insert(line.end(), more.begin(), more.end());
    return run_karat(line);
  };
  ASSERT_TRUE(succeeded(calibrate("a.gguf", {})));
  const auto all = format::read_imatrix(folder_.path("a.gguf"));
  EXPECT_EQ(all.entries.at("blk.0.attn_qkv.weight").counts[0], 1500);
  // The MTP block sees one row fewer of each sequence.
  const int64_t sequences = json_of("p.report.json").at("sequences").as_int();
  EXPECT_EQ(all.entries.at("blk.4.attn_q.weight").counts[0], 1500 - sequences);
  EXPECT_EQ(all.datasets, std::vector<std::string>{"p"});
  ASSERT_TRUE(succeeded(calibrate("b.gguf", {"--tokens", "700"})));
  ASSERT_TRUE(succeeded(calibrate("c.gguf", {"--tokens", "700", "--seed", "3"})));
  ASSERT_TRUE(succeeded(calibrate("d.gguf", {"--tokens", "700", "--stream", "on"})));
  const auto part = format::read_imatrix(folder_.path("b.gguf"));
  EXPECT_EQ(part.entries.at("blk.0.attn_qkv.weight").counts[0], 700);
  EXPECT_NE(test::read_bytes(folder_.path("b.gguf")), test::read_bytes(folder_.path("c.gguf")));
  EXPECT_EQ(test::read_bytes(folder_.path("b.gguf")), test::read_bytes(folder_.path("d.gguf")));
  EXPECT_TRUE(refused(calibrate("e.gguf", {"--tokens", "1501"}), 2));
  EXPECT_TRUE(refused(calibrate("e.gguf", {"--chunks", "1"}), 2));
  EXPECT_TRUE(refused(calibrate("e.gguf", {"-f", folder_.path("text.txt")}), 2));
}

TEST_F(PacketVerb, OverlapIsStatus6AndNothingIsWritten) {
  folder_.write("eval.txt", test::read_bytes(folder_.path("text.txt")));
  const size_t before = folder_.file_count();
  EXPECT_TRUE(refused(make("p"), 6, {"overlap evaluation sets"}));
  write_recipe("overlap = \"refuse\"");
  EXPECT_TRUE(refused(make("p"), 6, {"of 'planted' item"}));
  EXPECT_EQ(folder_.file_count(), before);
}

TEST_F(PacketVerb, RecipesAreStrict) {
  write_recipe("tokns = 3");
  EXPECT_TRUE(refused(make("p"), 3, {"r.toml:1: key 'tokns': unknown; did you mean 'tokens'?"}));
  folder_.write("r.toml", "schema = ");
  EXPECT_TRUE(refused(make("p"), 3, {"r.toml:1:"}));
}

TEST_F(PacketVerb, NothingThatIsReadIsReplaced) {
  std::filesystem::create_directory(folder_.path("texts"));
  std::filesystem::copy(folder_.path("text.txt"), folder_.path("texts/a.txt"));
  std::filesystem::copy(kTiny, folder_.path("model"), std::filesystem::copy_options::recursive);
  std::string recipe = test::read_bytes(folder_.path("r.toml"));
  recipe.replace(recipe.find("text.txt"), 8, "texts");
  folder_.write("r.toml", recipe);
  for (const char* out :
       {"r.toml", "eval.txt", "texts/a.txt", "model/model.safetensors-00001-of-00002.safetensors",
        "model/config.json"}) {
    const std::string before = test::read_bytes(folder_.path(out));
    EXPECT_TRUE(refused(make(out, {"--force", "-m", folder_.path("model")}), 7)) << out;
    EXPECT_EQ(test::read_bytes(folder_.path(out)), before);
  }
  folder_.write("p.receipt.json", "of another packet");
  EXPECT_TRUE(refused(make("p"), 7, {"p.receipt.json"}));
  EXPECT_TRUE(succeeded(make("p", {"--force"})));
}

TEST_F(PacketVerb, OptionsWithoutMeaningAreRefused) {
  for (const std::vector<std::string>& more :
       std::vector<std::vector<std::string>>{{"-c", "512"},
                                             {"--chunks", "3"},
                                             {"--parse-special"},
                                             {"--process-output"},
                                             {"--all-experts"},
                                             {"--no-mtp"},
                                             {"--activations", "f32"},
                                             {"--stream", "auto"},
                                             {"--show-statistics"},
                                             {"--output-format", "gguf"},
                                             {"-f", folder_.path("text.txt")},
                                             {"--in-file", folder_.path("text.txt")}}) {
    EXPECT_TRUE(refused(make("p", more), 2, {"calibrate --packet: -"})) << more[0];
  }
  EXPECT_TRUE(refused(make("p", {"--tokens", "9000000000000000000"}), 2, {"--tokens"}));
}

// Two sources of one file, and a packet held against its receipt.
TEST_F(PacketVerb, ItsReceiptIsVerified) {
  std::string records;
  for (int i = 0; i < 60; ++i) {
    const std::string n = std::to_string(i * i);
    records += R"({"problem": "What is left of )" + n + R"( grains?", "solution": "Dust, )" + n +
               " times.\"}\n";
  }
  folder_.write("math.jsonl", records);
  std::string recipe = test::read_bytes(folder_.path("r.toml")), sources;
  for (const char* field : {"problem", "solution"}) {
    sources += "[[domain.source]]\npath = \"math.jsonl\"\nform = \"json\"\nfields = [\"" +
               std::string(field) + "\"]\n";
  }
  recipe.insert(recipe.find("[[evaluation]]"), sources);
  folder_.write("r.toml", recipe);
  ASSERT_TRUE(succeeded(make("p")));
  const Json receipt = json_of("p.receipt.json");
  EXPECT_EQ(receipt.at("notes").as_object().size(), 3u);
  EXPECT_EQ(receipt.at("inputs").as_array().size(), 4u);
  EXPECT_EQ(receipt.at("options").at("template_sha256").as_string().size(), 64u);
  const auto verify = [&] {
    return run_karat({"verify", folder_.path("p"), "--inputs", folder_.path()});
  };
  EXPECT_TRUE(succeeded(verify()));
  std::string bytes = test::read_bytes(folder_.path("p"));
  bytes.back() = static_cast<char>(bytes.back() ^ 1);
  folder_.write("p", bytes);
  EXPECT_EQ(verify().status, 6);  // and says on stdout what it found
  folder_.write("p", bytes.substr(0, bytes.size() - 1));
  EXPECT_EQ(verify().status, 3);
}

// Whole MATH-500 problems planted into a text: every one of them is found, and nothing else of it.
TEST_F(PacketVerb, SharedDataAreCleaned) {
  const std::string math = test::shared_file("data/math-500/test.jsonl"),
                    wiki = test::shared_file("data/wikitext-2/wiki.test.raw"),
                    c4 = test::shared_file("data/calibration/exl3/c4.utf8");
  if (math.empty() || wiki.empty() || c4.empty()) {
    GTEST_SKIP() << "the texts are not part of the repository";
  }
  const std::string problems = test::read_bytes(math);
  folder_.write("planted.jsonl", problems.substr(0, problems.find('\n', 40000) + 1));
  folder_.write("r.toml", R"(schema = 1
tokens = 20000
context = 8192
[[domain]]
name = "web"
share = 1
[[domain.source]]
path = ")" + c4 + R"("
form = "lines"
[[domain.source]]
path = "planted.jsonl"
form = "json"
fields = ["problem", "solution"]
[[evaluation]]
name = "wikitext-2"
path = ")" + wiki + R"("
form = "lines"
[[evaluation]]
name = "math-500"
path = ")" + math + R"("
form = "json"
fields = ["problem", "solution"]
)");
  ASSERT_TRUE(succeeded(make("p")));
  const Json report = json_of("p.report.json");
  const auto& sources = report.at("domains").as_array()[0].at("sources").as_array();
  EXPECT_EQ(sources[0].at("removed"), 0);
  EXPECT_EQ(sources[1].at("removed"), sources[1].at("documents"));
  EXPECT_GT(sources[1].at("documents").as_int(), 30);
  EXPECT_EQ(report.at("tokens"), 20000);
  for (const Json& item : report.at("removed").as_array()) {
    EXPECT_EQ(item.at("evaluation"), "math-500");
  }
}

}  // namespace
}  // namespace karat
