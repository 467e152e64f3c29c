#include "cli/completion.h"

#include <gtest/gtest.h>

namespace karat::cli {
namespace {

// A verb with an option of every kind, and texts that need quoting.
std::vector<VerbTable> small() {
  Option positional, choice, file, number, flag, word;
  positional.names = "IN";
  positional.required = true;
  choice.names = "TYPE";
  choice.choices = {"Q8_0", "F16"};
  file.names = "-m,--model";
  file.value = "MODEL";
  file.help = "the model's [path]: it's here";
  number.names = "-n,--predict";
  number.value = "N";
  number.number = true;
  flag.names = "--force";
  flag.help = "replace";
  word.names = "-sys,--system-prompt";
  word.value = "TEXT";
  return {{"verb", "does: it", "IN", {positional, choice, file, number, flag, word}},
          {"other", "does more", "", {flag}}};
}

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST(Completion, BashKnowsVerbsOptionsAndValues) {
  const std::string script = bash_completion(small());
  EXPECT_TRUE(has(script, "'verb other --help --version'"));
  EXPECT_TRUE(has(script, "options='-m --model -n --predict --force -sys --system-prompt --help'"));
  EXPECT_TRUE(has(script, "with_value=' -m --model -n --predict -sys --system-prompt '"));
  EXPECT_TRUE(has(script, "-n|--predict) words=''; kind=words"));
  EXPECT_TRUE(has(script, "1) words='Q8_0 F16'; kind=words"));
}

TEST(Completion, ZshSpecsAreQuoted) {
  const std::string script = zsh_completion(small());
  EXPECT_TRUE(has(script, "'verb:does\\: it'"));
  EXPECT_TRUE(has(script,
                  "'(-m --model)--model=[the model'\\''s \\[path\\]\\: it'\\''s here]"
                  ":MODEL:_files'"))
      << script;
  EXPECT_TRUE(has(script, "'1:IN:_files'"));
  EXPECT_TRUE(has(script, "'2::value:(Q8_0 F16)'"));
  EXPECT_TRUE(has(script, ":N: '"));
}

TEST(Completion, FishLinesNameEveryForm) {
  const std::string script = fish_completion(small());
  EXPECT_TRUE(has(script, "-s m -l model -r -F -d 'the model\\'s [path]: it\\'s here'"));
  EXPECT_TRUE(has(script, "-o sys -l system-prompt -r -F"));
  EXPECT_TRUE(has(script, "-s n -l predict -x"));
  EXPECT_TRUE(has(script, "-a 'Q8_0 F16'"));
}

}  // namespace
}  // namespace karat::cli
