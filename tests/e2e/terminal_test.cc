// Progress and colours as they come out on a terminal and elsewhere.
#include <gtest/gtest.h>

#include "support/files.h"
#include "support/program.h"

namespace karat {
namespace {

using test::Outcome;
using test::Process;
using test::run_karat;
using test::succeeded;
using test::TempDir;

// Runs quantize on a pseudo-terminal, which util-linux's `script` provides; what stdout and stderr
// show there.
Outcome on_terminal(const std::string& environment, const std::string& options = "") {
  const TempDir dir;
  const std::string line = "env " + environment + " '" + KARAT_PROGRAM + "' quantize '" +
                           test::fixture("tiny-random") + "' '" + dir.path("o.gguf") + "' Q6_K " +
                           options;
  return Process({"script", "-qec", line, "/dev/null"}).wait();
}

bool has_script() { return Process({"sh", "-c", "command -v script"}).wait().status == 0; }

bool has(const Outcome& outcome, const std::string& part) {
  return outcome.out.find(part) != std::string::npos;
}

TEST(OnATerminal, ProgressIsABarAndWarningsAreYellow) {
  if (!has_script()) GTEST_SKIP() << "script (util-linux) is not installed";
  const Outcome outcome = on_terminal("TERM=xterm NO_COLOR= CLICOLOR_FORCE=");
  EXPECT_TRUE(succeeded(outcome));
  EXPECT_TRUE(has(outcome, "\r\x1b[Kquantize 100 %")) << outcome.out;
  EXPECT_TRUE(has(outcome, "\x1b[33mwarning: ")) << outcome.out;
}

TEST(OnATerminal, ADumbOneGetsPlainText) {
  if (!has_script()) GTEST_SKIP() << "script (util-linux) is not installed";
  const Outcome outcome = on_terminal("TERM=dumb NO_COLOR= CLICOLOR_FORCE=");
  EXPECT_TRUE(succeeded(outcome));
  EXPECT_FALSE(has(outcome, "\x1b")) << outcome.out;
}

TEST(OnATerminal, NoColorLeavesTheBar) {
  if (!has_script()) GTEST_SKIP() << "script (util-linux) is not installed";
  const Outcome outcome = on_terminal("TERM=xterm NO_COLOR=1 CLICOLOR_FORCE=1");
  EXPECT_TRUE(has(outcome, "\r\x1b[Kquantize 100 %")) << outcome.out;
  EXPECT_FALSE(has(outcome, "\x1b[33m")) << outcome.out;
  EXPECT_TRUE(has(on_terminal("TERM=xterm NO_COLOR=1", "--color always"), "\x1b[33m"));
}

TEST(NotOnATerminal, ColorsAreForcedOnly) {
  const TempDir dir;
  const auto err = [&](const std::vector<std::string>& environment) {
    return run_karat(
               {"quantize", test::fixture("tiny-random"), dir.path("o.gguf"), "Q6_K", "--force"},
               {.environment = environment})
        .err;
  };
  EXPECT_EQ(err({"NO_COLOR=", "CLICOLOR_FORCE="}).find('\x1b'), std::string::npos);
  EXPECT_EQ(err({"NO_COLOR=", "CLICOLOR_FORCE=0"}).find('\x1b'), std::string::npos);
  EXPECT_NE(err({"NO_COLOR=", "CLICOLOR_FORCE=1"}).find("\x1b[33m"), std::string::npos);
  EXPECT_EQ(err({"NO_COLOR=1", "CLICOLOR_FORCE=1"}).find('\x1b'), std::string::npos);
}

}  // namespace
}  // namespace karat
