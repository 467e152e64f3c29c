#include "base/interrupt.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>
#include <cstdlib>

#include "base/error.h"
#include "base/file.h"

namespace karat::base {
namespace {

TEST(Interrupt, TheFirstSignalIsAFlag) {
  catch_signals();
  clear_signal();
  EXPECT_EQ(pending_signal(), 0);
  EXPECT_NO_THROW(stop_if_interrupted());
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) {
    std::raise(number);
    EXPECT_EQ(pending_signal(), number);
    try {
      stop_if_interrupted();
      FAIL();
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::interrupted);
    }
    clear_signal();
    EXPECT_NO_THROW(stop_if_interrupted());
  }
}

TEST(InterruptDeathTest, TheSecondSignalEndsTheProcess) {
  EXPECT_EXIT(
      {
        catch_signals();
        std::raise(SIGTERM);
        std::raise(SIGINT);
      },
      ::testing::ExitedWithCode(128 + SIGINT), "");
}

[[noreturn]] void write_over_the_limit() {
  catch_signals();
  const rlimit limit = {1024, 1024};
  ::setrlimit(RLIMIT_FSIZE, &limit);
  try {
    write_file(::testing::TempDir() + "interrupt_test.bin", std::string(4096, 'x'));
  } catch (const Error& error) {
    std::_Exit(error.kind() == ErrorKind::io ? 44 : 1);
  }
  std::_Exit(0);
}

TEST(InterruptDeathTest, TheFileSizeLimitIsAnErrorAndNotASignal) {
  EXPECT_EXIT(write_over_the_limit(), ::testing::ExitedWithCode(44), "");
}

}  // namespace
}  // namespace karat::base
