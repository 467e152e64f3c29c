#include "base/process.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace karat::base {
namespace {

TEST(Process, KeepsBothOutputsAndTheStatus) {
  const ProcessResult result =
      run_process({"sh", "-c", "echo \"$1\"; echo two >&2; cat; exit 3", "sh", "a 'b' $c"});
  EXPECT_EQ(result.status, 3);
  EXPECT_EQ(result.out, "a 'b' $c\n");
  EXPECT_EQ(result.err, "two\n");
  EXPECT_EQ(run_process({"true"}).status, 0);
}

TEST(Process, OutputLargerThanAPipeDoesNotBlock) {
  const ProcessResult result =
      run_process({"sh", "-c", "head -c 1000000 /dev/zero; head -c 300000 /dev/zero >&2"});
  EXPECT_EQ(result.out.size(), 1000000u);
  EXPECT_EQ(result.err.size(), 300000u);
}

TEST(Process, ASignalIsAStatusAbove128) {
  EXPECT_EQ(run_process({"sh", "-c", "kill -9 $$"}).status, 128 + 9);
}

TEST(Process, AMissingProgramIsAnError) {
  try {
    run_process({"/nowhere/program"});
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::usage);
    EXPECT_NE(std::string(error.what()).find("/nowhere/program"), std::string::npos);
  }
}

}  // namespace
}  // namespace karat::base
