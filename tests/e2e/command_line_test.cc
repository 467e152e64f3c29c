// The contract of the command line: exit statuses, what goes to stdout and what to stderr.
#include <gtest/gtest.h>

#include <filesystem>

#include "base/file.h"
#include "base/json.h"
#include "cli/command.h"
#include "support/files.h"
#include "support/program.h"

namespace karat {
namespace {

using test::Outcome;
using test::refused;
using test::run_karat;
using test::succeeded;
using test::TempDir;

const std::string kTiny = test::fixture("tiny-random");
const std::string kText = kTiny + "/merges.txt";  // any text will do

// Every verb with arguments that make it succeed in a folder that has "q.gguf", a model.
std::vector<std::vector<std::string>> working_lines(const TempDir& dir) {
  return {
      {"inspect", kTiny},
      {"convert", kTiny, "-o", dir.path("c.gguf")},
      {"calibrate", "-m", kTiny, "-f", kText, "-c", "64", "-o", dir.path("i.gguf")},
      {"quantize", kTiny, dir.path("o.gguf"), "Q8_0"},
      {"quantize", kTiny, dir.path("d.gguf"), "Q8_0", "--dry-run"},
      {"eval", "ppl", "-m", kTiny, "-f", kText, "-c", "64"},
      {"eval", "kld", "-m", dir.path("q.gguf"), "--ref", kTiny, "-f", kText, "-c", "64"},
      {"compare", kTiny, dir.path("q.gguf"), "--tensors"},
      {"plan", "--fit", "-m", kTiny, "-c", "64"},
      {"bench", "-m", kTiny, "-p", "8", "-n", "2", "-r", "1"},
      {"verify", dir.path("q.gguf")},
      {"merge", dir.path("q.gguf"), "-o", dir.path("s.gguf"), "--split-max-size", "300K"},
      {"chat", "-m", kTiny, "-p", "hello", "-n", "4", "-q"},
      {"tokenize", "-m", kTiny, "hello"},
      {"completion", "bash"},
  };
}

TempDir& folder_with_model() {
  static TempDir dir;
  if (!std::filesystem::exists(dir.path("q.gguf"))) {
    EXPECT_TRUE(succeeded(run_karat({"quantize", kTiny, dir.path("q.gguf"), "Q8_0"})));
  }
  return dir;
}

TEST(CommandLine, EveryVerbSucceedsAndSaysNothingOnStderr) {
  TempDir& dir = folder_with_model();
  std::vector<std::string> seen;
  for (std::vector<std::string> line : working_lines(dir)) {
    seen.push_back(line[0]);
    line.emplace_back("--force");
    const Outcome outcome = run_karat(line);
    EXPECT_TRUE(succeeded(outcome)) << line[0];
    EXPECT_FALSE(outcome.out.empty()) << line[0];
    EXPECT_EQ(outcome.err, "") << line[0];
  }
  for (const auto& command : cli::all_commands()) {
    EXPECT_NE(std::find(seen.begin(), seen.end(), command->verb()), seen.end()) << command->verb();
  }
}

TEST(CommandLine, EveryVerbTakesEveryCommonOption) {
  TempDir& dir = folder_with_model();
  for (std::vector<std::string> line : working_lines(dir)) {
    line.insert(line.end(), {"--force", "-q", "-t", "1", "--mem-limit", "8GiB", "--seed", "3",
                             "--progress", "json", "--color", "always"});
    const Outcome outcome = run_karat(line);
    EXPECT_TRUE(succeeded(outcome)) << line[0];
    EXPECT_EQ(outcome.err, "") << line[0];
    EXPECT_TRUE(succeeded(run_karat({line[0], "--help", "-v", "--verbose"}))) << line[0];
  }
}

TEST(CommandLine, JsonIsOneObjectWithASchema) {
  TempDir& dir = folder_with_model();
  for (std::vector<std::string> line : working_lines(dir)) {
    line.insert(line.end(), {"--force", "--json"});
    const Outcome outcome = run_karat(line);
    ASSERT_TRUE(succeeded(outcome)) << line[0];
    const base::Json json = base::parse_json(outcome.out, {.name = line[0]});
    EXPECT_EQ(json.as_object().at(0).first, "schema") << line[0];
    EXPECT_EQ(json.at("schema"), base::Json(1)) << line[0];
    if (line[0] == "eval") {
      EXPECT_GT(json.at(line[1]).as_double(), 0) << line[1];
      EXPECT_GT(json.at(line[1] + "_se").as_double(), 0) << line[1];
    }
  }
}

TEST(CommandLine, QuietWritersPrintThePathLast) {
  TempDir& dir = folder_with_model();
  for (std::vector<std::string> line : working_lines(dir)) {
    const std::string& verb = line[0];
    const bool writes = verb == "convert" || verb == "calibrate" ||
                        (verb == "quantize" && line.back() != "--dry-run");
    if (!writes) continue;
    const std::string path = verb == "quantize" ? line[2] : line.back();
    line.insert(line.end(), {"--force", "-q"});
    const Outcome outcome = run_karat(line);
    EXPECT_TRUE(succeeded(outcome)) << verb;
    EXPECT_EQ(outcome.out, path + "\n") << verb;
  }
}

TEST(CommandLine, ProgressGoesToStderr) {
  const TempDir dir;
  const Outcome outcome =
      run_karat({"quantize", kTiny, dir.path("o.gguf"), "Q8_0", "-q", "--progress", "bar"});
  EXPECT_TRUE(succeeded(outcome));
  EXPECT_EQ(outcome.out, dir.path("o.gguf") + "\n");
  const Outcome json =
      run_karat({"convert", kTiny, "-o", dir.path("c.gguf"), "--progress", "json"});
  EXPECT_TRUE(succeeded(json));
  const base::Json event = base::parse_json(json.err.substr(0, json.err.find('\n')));
  EXPECT_EQ(event.at("stage").as_string(), "convert");
}

TEST(CommandLine, HelpOfEveryVerbGoesToStdout) {
  const Outcome overview = run_karat({"--help"});
  EXPECT_TRUE(succeeded(overview));
  EXPECT_EQ(overview.err, "");
  for (const auto& command : cli::all_commands()) {
    const std::string verb = command->verb();
    EXPECT_NE(overview.out.find("\n  " + verb + " "), std::string::npos) << verb;
    const Outcome outcome = run_karat({verb, "--help"});
    EXPECT_TRUE(succeeded(outcome)) << verb;
    EXPECT_EQ(outcome.err, "") << verb;
    EXPECT_NE(outcome.out.find("Usage: karat " + verb), std::string::npos) << outcome.out;
    for (const char* option : {"--json", "--quiet", "--verbose", "--force", "--threads",
                               "--mem-limit", "--seed", "--progress", "--color"}) {
      EXPECT_NE(outcome.out.find(option), std::string::npos) << verb << " " << option;
    }
  }
}

TEST(CommandLine, OtherToolsNamesOfAVerb) {
  const auto same = [](const std::vector<std::string>& alias,
                       const std::vector<std::string>& ours) {
    const Outcome outcome = run_karat(alias);
    EXPECT_TRUE(succeeded(outcome)) << alias[0];
    EXPECT_EQ(outcome.out, run_karat(ours).out) << alias[0];
  };
  same({"show", kTiny}, {"inspect", kTiny});
  same({"imatrix", "--help"}, {"calibrate", "--help"});
  same({"perplexity", "-m", kTiny, "-f", kText, "-c", "64"},
       {"eval", "ppl", "-m", kTiny, "-f", kText, "-c", "64"});
}

TEST(CommandLine, VersionNamesCompilerAndInstructionSet) {
  const Outcome outcome = run_karat({"--version"}, {.environment = {"KARAT_ISA=scalar"}});
  EXPECT_TRUE(succeeded(outcome));
  for (const char* word : {"karat 0.", "\nbuild ", "\ncompiler ", "\ninstruction set scalar"}) {
    EXPECT_NE(outcome.out.find(word), std::string::npos) << outcome.out;
  }
}

TEST(Status2, WrongCommandLines) {
  struct Case {
    std::vector<std::string> line;
    std::vector<std::string> words;
  };
  const std::vector<Case> cases = {
      {{}, {"verb"}},
      {{"inspct", "x"}, {"'inspct'", "did you mean inspect?"}},
      {{"qauntize"}, {"did you mean quantize?"}},
      {{"zzzzzzzzz"}, {"'zzzzzzzzz'"}},
      {{"inspect", "--tensrs", "x"}, {"'--tensrs'", "did you mean --tensors?"}},
      {{"eval", "ppl", "-m", "x", "--chunk", "3"}, {"did you mean --chunks?"}},
      {{"inspect", "x", "-ngl", "99"}, {"'-ngl'", "CPU only"}},
      {{"eval", "ppl", "-m", "x", "--batch-size=512"}, {"'--batch-size=512'", "leave it out"}},
      {{"download", "x"}, {"'download'", "hf download"}},
      {{"eval", "pppl", "-m", "x"}, {"did you mean ppl?"}},
      {{"inspect", "x", "--progress", "bars"}, {"did you mean bar?"}},
      {{"quantize", kTiny, "x.gguf", "q4km"}, {"'q4km'", "did you mean Q4_K_M?"}},
      {{"quantize", kTiny, "x.gguf", "Q8_0", "--tensor-type", "x=q4k"}, {"did you mean q4_K?"}},
      {{"quantize", kTiny, "x.gguf", "Q8_0", "--output-tensor-type", "q6k"},
       {"did you mean q6_K?"}},
      {{"inspect"}, {"MODEL"}},
      {{"inspect", "a", "b"}, {"'b'"}},
      {{"inspect", kTiny, "-t", "0"}, {"--threads", "'0'"}},
      {{"inspect", kTiny, "-t", "many"}, {"--threads", "'many'"}},
      {{"inspect", kTiny, "--mem-limit", "lots"}, {"--mem-limit", "'lots'"}},
      {{"inspect", kTiny, "--color", "green"}, {"--color", "auto|always|never"}},
      {{"convert", kTiny}, {"-o"}},
      {{"convert", kTiny, "-o", "x", "--no-mtp", "--mtp-only"}, {"--no-mtp", "--mtp-only"}},
      {{"quantize", kTiny, "x.gguf", "Q9_X"}, {"'Q9_X'", "Q4_K_M"}},
      {{"quantize", kTiny, "x.gguf", "Q8_0", "--output-tensor-type", "q9"}, {"q9"}},
      {{"quantize", kTiny, "x.gguf", "Q8_0", "--tensor-type", "(=q8_0"}, {"'('"}},
      {{"quantize", kTiny, "x.gguf", "Q8_0", "--tensor-type", "noequals"}, {"REGEX=TYPE"}},
      {{"eval", "mmlu", "-m", kTiny}, {"'mmlu'", "ppl|kld"}},
      {{"eval", "ppl", "-m", kTiny}, {"-f"}},
      {{"eval", "kld", "-m", kTiny, "-f", kText}, {"--ref", "--kl-divergence-base"}},
      {{"chat", "-m", kTiny, "-p", "x", "--top-p", "2"}, {"--top-p"}},
      {{"tokenize", "-m", kTiny}, {"TEXT", "-f"}},
  };
  const TempDir dir;
  for (const Case& c : cases) {
    const Outcome outcome = run_karat(c.line, {.folder = dir.path()});
    EXPECT_TRUE(refused(outcome, 2, c.words)) << testing::PrintToString(c.line);
  }
  EXPECT_EQ(dir.file_count(), 0u);
}

TEST(Status3, InputThatIsNotThere) {
  EXPECT_TRUE(refused(run_karat({"inspect", "nowhere.gguf"}), 3, {"nowhere.gguf", "No such"}));
  EXPECT_TRUE(refused(run_karat({"inspect", "/dev/zero"}), 3, {"/dev/zero"}));
  EXPECT_TRUE(
      refused(run_karat({"tokenize", "-m", kTiny, "-f", "nowhere.txt"}), 3, {"nowhere.txt"}));
}

TEST(Status4, StdoutThatCannotBeWritten) {
  const std::vector<std::string> full = {"sh", "-c", "exec \"$0\" \"$@\" > /dev/full"};
  EXPECT_TRUE(refused(run_karat({"inspect", kTiny}, {.wrapper = full}), 4, {"stdout"}));
  EXPECT_TRUE(refused(run_karat({"--help"}, {.wrapper = full}), 4, {"stdout"}));
}

TEST(Status5, MemoryLimitBelowNeed) {
  const TempDir dir;
  const std::vector<std::vector<std::string>> lines = {
      {"eval", "ppl", "-m", kTiny, "-f", kText, "-c", "64"},
      {"eval", "kld", "-m", kTiny, "--ref", kTiny, "-f", kText, "-c", "64"},
      {"calibrate", "-m", kTiny, "-f", kText, "-c", "64", "-o", "i.gguf"},
      {"quantize", kTiny, "q.gguf", "Q8_0"},
      {"convert", kTiny, "-o", "c.gguf"},
      {"compare", kTiny, kTiny, "--tensors"},
      {"merge", test::fixture("goldens/gguf/tiny-bf16.gguf"), "-o", "s.gguf", "--split-max-tensors",
       "9"},
      {"chat", "-m", kTiny, "-p", "hello"},
  };
  for (std::vector<std::string> line : lines) {
    line.insert(line.end(), {"--mem-limit", "10K"});
    EXPECT_TRUE(refused(run_karat(line, {.folder = dir.path()}), 5, {"--mem-limit", "10.0 KB"}))
        << line[0];
  }
  EXPECT_EQ(dir.file_count(), 0u);
}

TEST(Status6, DivergenceAboveTheGate) {
  TempDir& dir = folder_with_model();
  std::vector<std::string> line = {"eval", "kld", "-m", dir.path("q.gguf"), "--ref", kTiny, "-f",
                                   kText,  "-c",  "64", "--max-kld"};
  line.emplace_back("1e-9");
  const Outcome above = run_karat(line);
  EXPECT_EQ(above.status, 6);
  EXPECT_NE(above.err.find("--max-kld"), std::string::npos) << above.err;
  EXPECT_NE(above.out.find("KLD"), std::string::npos)
      << "the measurement is the result all the same";
  line.back() = "100";
  EXPECT_TRUE(succeeded(run_karat(line)));
}

TEST(Status7, OutputThatExists) {
  TempDir& dir = folder_with_model();
  const std::string before = test::read_bytes(dir.path("q.gguf"));
  for (const std::vector<std::string>& line :
       {std::vector<std::string>{"convert", kTiny, "-o", dir.path("q.gguf")},
        {"quantize", kTiny, dir.path("q.gguf"), "Q8_0"},
        {"calibrate", "-m", kTiny, "-f", kText, "-c", "64", "-o", dir.path("q.gguf")},
        {"eval", "ppl", "-m", kTiny, "-f", kText, "-c", "64", "--kl-divergence-base",
         dir.path("q.gguf")}}) {
    EXPECT_TRUE(refused(run_karat(line), 7, {"q.gguf", "--force"})) << line[0];
    EXPECT_EQ(test::read_bytes(dir.path("q.gguf")), before) << line[0];
  }
}

TEST(Signals, ABrokenPipeEndsTheProgramQuietly) {
  const Outcome outcome =
      run_karat({"inspect", kTiny, "--tensors"},
                {.wrapper = {"bash", "-c", "\"$0\" \"$@\" | true; exit ${PIPESTATUS[0]}"}});
  EXPECT_TRUE(outcome.status == 141 || outcome.status == 0) << outcome.status;  // it may be faster
  EXPECT_EQ(outcome.err, "");
}

}  // namespace
}  // namespace karat
