// The completion scripts, run by the shells that they are for.
#include <gtest/gtest.h>

#include <algorithm>
#include <sstream>

#include "cli/command.h"
#include "support/files.h"
#include "support/program.h"

namespace karat {
namespace {

using test::Outcome;
using test::Process;
using test::run_karat;
using test::TempDir;

using Words = std::vector<std::string>;

bool installed(const std::string& shell) {
  return Process({"sh", "-c", "command -v " + shell}).wait().status == 0;
}

class Shell {
 public:
  explicit Shell(const std::string& shell)
      : script_(dir_.write(shell, run_karat({"completion", shell}).out)) {
    dir_.write("model.gguf", "");
  }

  // The lines that `command` prints, which finds the script in $0 and `words` in $@.
  Words lines(Words command, const Words& words) const {
    command.push_back(script_);
    command.insert(command.end(), words.begin(), words.end());
    const Outcome outcome = Process(command, {.folder = dir_.path()}).wait();
    EXPECT_EQ(outcome.status, 0) << outcome.err;
    EXPECT_EQ(outcome.err, "");
    Words out;
    std::istringstream in(outcome.out);
    for (std::string line; std::getline(in, line);) out.push_back(line);
    std::sort(out.begin(), out.end());
    return out;
  }

 private:
  TempDir dir_;
  std::string script_;
};

bool has(const Words& words, const std::string& word) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

TEST(CompletionIn, Bash) {
  if (!installed("bash")) GTEST_SKIP() << "bash is not installed";
  const Shell shell("bash");
  const auto complete = [&](const Words& words) {
    return shell.lines({"bash", "--norc", "-c",
                        "source \"$0\"; COMP_WORDS=(karat \"$@\"); COMP_CWORD=$#; _karat\n"
                        "((${#COMPREPLY[@]} == 0)) || printf '%s\\n' \"${COMPREPLY[@]}\""},
                       words);
  };
  const Words verbs = complete({""});
  for (const auto& command : cli::all_commands()) {
    EXPECT_TRUE(has(verbs, command->verb())) << command->verb();
    EXPECT_TRUE(has(complete({command->verb(), "--pro"}), "--progress")) << command->verb();
  }
  EXPECT_EQ(complete({"qua"}), Words{"quantize"});
  EXPECT_EQ(complete({"inspect", "mod"}), Words{"model.gguf"});
  EXPECT_EQ(complete({"eval", "p"}), Words{"ppl"});
  EXPECT_EQ(complete({"eval", "ppl", "-m", "mod"}), Words{"model.gguf"});
  EXPECT_EQ(complete({"eval", "--color", "a"}), (Words{"always", "auto"}));
  EXPECT_EQ(complete({"eval", "--color", "=", "n"}), Words{"never"});
  EXPECT_EQ(complete({"eval", "-c", ""}), Words{});
  EXPECT_EQ(complete({"quantize", "mod"}), Words{"model.gguf"});
  EXPECT_TRUE(has(complete({"quantize", "--imatrix", "i", "in", "out", "Q4_K"}), "Q4_K_M"));
  EXPECT_TRUE(has(complete({"quantize", "--output-tensor-type", "q6"}), "q6_K"));
}

TEST(CompletionIn, Zsh) {
  if (!installed("zsh")) GTEST_SKIP() << "zsh is not installed";
  const Shell shell("zsh");
  // The real completion system, but for the two functions that would draw on a terminal.
  const auto complete = [&](const Words& words) {
    return shell.lines({"zsh", "-f", "-c",
                        "autoload -U compinit && compinit -u -D; source $0\n"
                        "[[ $_comps[karat] == _karat ]] || exit 1\n"
                        "_arguments() { print -l -- \"$@\" }; _describe() { print -l -- $verbs }\n"
                        "words=(karat \"$@\"); CURRENT=$#words; _karat"},
                       words);
  };
  const Words verbs = complete({""});
  for (const auto& command : cli::all_commands()) {
    EXPECT_TRUE(has(verbs, command->verb() + ":" + command->summary()));
  }
  const Words specs = complete({"eval", ""});
  EXPECT_TRUE(has(specs, "1:value:(ppl kld)"));
  EXPECT_TRUE(has(specs, "(--color)--color=[colours on stderr]:value:(auto always never)"));
  EXPECT_TRUE(has(specs, "(-m --model)-m[HF folder or GGUF file]:MODEL:_files"));
}

TEST(CompletionIn, Fish) {
  if (!installed("fish")) GTEST_SKIP() << "fish is not installed";
  const Shell shell("fish");
  const auto complete = [&](const std::string& line) {
    Words words = shell.lines(
        {"fish", "--no-config", "-c", "source $argv[1]; complete -C $argv[2]"}, {"karat " + line});
    for (std::string& word : words) word = word.substr(0, word.find('\t'));
    return words;
  };
  const Words verbs = complete("");
  for (const auto& command : cli::all_commands()) {
    EXPECT_TRUE(has(verbs, command->verb())) << command->verb();
    EXPECT_TRUE(has(complete(command->verb() + " --pro"), "--progress")) << command->verb();
  }
  EXPECT_TRUE(has(complete("inspect mod"), "model.gguf"));
  EXPECT_EQ(complete("eval --color a"), (Words{"always", "auto"}));
  EXPECT_TRUE(has(complete("quantize --output-tensor-type q6"), "q6_K"));
}

}  // namespace
}  // namespace karat
