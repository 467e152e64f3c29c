#include "cli/options.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace karat::cli {
namespace {

struct Parsed {
  bool flag = false, help = false;
  std::string model, system, kind = "a";
  int64_t count = 7;
  double rate = 0;
  uint64_t size = 0;
  std::vector<std::string> files;
};

Parsed parse(std::vector<std::string> arguments) {
  Parsed p;
  Options options;
  options.text("-m,--model", "MODEL", p.model, "the model").required = true;
  options.flag("-x,--extra", p.flag, "a flag");
  options.text("-sys,--system-prompt", "TEXT", p.system, "one dash");
  options.integer("-n,--predict", "N", p.count, "tokens", 0);
  options.number("--rate", "X", p.rate, "a number");
  options.bytes("--mem-limit", "SIZE", p.size, "a size");
  options.choice("--kind", {"a", "b"}, p.kind, "a choice");
  options.list("-f,--file", "FILE", p.files, "files");
  p.help = !options.parse("verb", arguments);
  return p;
}

std::string error_of(std::vector<std::string> arguments) {
  try {
    parse(std::move(arguments));
  } catch (const base::Error& error) {
    EXPECT_EQ(error.kind(), base::ErrorKind::usage);
    return error.what();
  }
  return "";
}

TEST(Options, ReadsEveryKind) {
  const Parsed p = parse({"-m", "x.gguf", "-x", "-sys", "be brief", "--predict=3", "--rate", "-0.5",
                          "--mem-limit", "2GiB", "--kind", "b", "-f", "one", "-f", "two"});
  EXPECT_EQ(p.model, "x.gguf");
  EXPECT_TRUE(p.flag);
  EXPECT_EQ(p.system, "be brief");
  EXPECT_EQ(p.count, 3);
  EXPECT_EQ(p.rate, -0.5);
  EXPECT_EQ(p.size, uint64_t{2} << 30);
  EXPECT_EQ(p.kind, "b");
  EXPECT_EQ(p.files, (std::vector<std::string>{"one", "two"}));
}

TEST(Options, APositionalListTakesAllThatIsLeft) {
  std::vector<std::string> in;
  std::string out;
  Options options;
  options.list("IN", "", in, "files");
  options.text("-o", "OUT", out, "a file");
  EXPECT_TRUE(options.parse("verb", {"one", "two", "-o", "x", "three"}));
  EXPECT_EQ(in, (std::vector<std::string>{"one", "two", "three"}));
  EXPECT_EQ(out, "x");
}

TEST(Options, DefaultsStay) { EXPECT_EQ(parse({"-m", "x"}).count, 7); }

TEST(Options, HelpWinsOverMissingArguments) { EXPECT_TRUE(parse({"--help"}).help); }

TEST(Options, SuggestsForATypingError) {
  EXPECT_NE(error_of({"--modle", "x"}).find("did you mean --model?"), std::string::npos);
  EXPECT_NE(error_of({"-m", "x", "--kin", "a"}).find("did you mean --kind?"), std::string::npos);
}

TEST(Options, NamesWhatIsWrong) {
  EXPECT_NE(error_of({}).find("--model"), std::string::npos);
  EXPECT_NE(error_of({"-m", "x", "-n", "four"}).find("--predict: 'four'"), std::string::npos);
  EXPECT_NE(error_of({"-m", "x", "-n", "-4"}).find("0 or more"), std::string::npos);
  EXPECT_NE(error_of({"-m", "x", "--kind", "c"}).find("a|b"), std::string::npos);
  EXPECT_NE(error_of({"-m", "x", "--mem-limit", "lots"}).find("lots"), std::string::npos);
  EXPECT_NE(error_of({"-m", "x", "stray"}).find("'stray'"), std::string::npos);
}

// What llama-quantize's users write: options before what they do not belong to.
TEST(Options, OneValueAtATimeLeavesThePositionals) {
  std::vector<std::string> rules;
  std::string in, out;
  Options options;
  options.text("IN", "", in, "input").required = true;
  options.text("OUT", "", out, "output").required = true;
  options.each("--rule", "RE=TYPE", rules, "rules");
  EXPECT_TRUE(options.parse("verb", {"--rule", "a=b", "--rule", "c=d", "x", "y", "--rule", "e=f"}));
  EXPECT_EQ(rules, (std::vector<std::string>{"a=b", "c=d", "e=f"}));
  EXPECT_EQ(in, "x");
  EXPECT_EQ(out, "y");
}

}  // namespace
}  // namespace karat::cli
