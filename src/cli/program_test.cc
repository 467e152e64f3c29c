#include <gtest/gtest.h>

#include "cli/build_id.h"
#include "cli/command.h"

namespace karat::cli {
namespace {

struct Outcome {
  int status = 0;
  std::string out, err;
};

Outcome run(const std::vector<std::string>& arguments) {
  ::testing::internal::CaptureStdout();
  ::testing::internal::CaptureStderr();
  Outcome outcome;
  outcome.status = run_program(arguments);
  outcome.out = ::testing::internal::GetCapturedStdout();
  outcome.err = ::testing::internal::GetCapturedStderr();
  return outcome;
}

TEST(Program, VersionNamesBuildCompilerAndInstructionSet) {
  const Outcome outcome = run({"--version"});
  EXPECT_EQ(outcome.status, 0);
  EXPECT_NE(outcome.out.find(std::string("\nbuild ") + kBuildId + "\n"), std::string::npos);
  EXPECT_NE(outcome.out.find(std::string("\ncompiler ") + __VERSION__ + "\n"), std::string::npos);
}

TEST(Program, HelpOfAVerbInEveryForm) {
  const std::string help = run({"inspect", "--help"}).out;
  EXPECT_NE(help.find("Usage: karat inspect MODEL"), std::string::npos);
  EXPECT_NE(help.find("\nOptions of every verb:\n"), std::string::npos);
  EXPECT_EQ(run({"inspect", "-h"}).out, help);
  EXPECT_EQ(run({"help", "inspect"}).out, help);
  EXPECT_EQ(run({"help"}).out, run({"--help"}).out);
  EXPECT_EQ(run({"help", "inspct"}).status, 2);
}

TEST(Program, UnknownVerbsGetAdvice) {
  EXPECT_NE(run({"qauntize"}).err.find("did you mean quantize?"), std::string::npos);
  EXPECT_NE(run({"download"}).err.find("hf download"), std::string::npos);
  EXPECT_EQ(run({"download"}).status, 2);
}

}  // namespace
}  // namespace karat::cli
