#include "simd/choice.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "base/error.h"

namespace karat::simd {
namespace {

TEST(Choice, EveryNameIsFoundAgainAndScalarIsLast) {
  ASSERT_FALSE(supported().empty());
  EXPECT_EQ(supported().back(), Isa::scalar);
  for (const Isa isa : supported()) EXPECT_EQ(isa_named(name_of(isa)), isa);
}

TEST(Choice, UnknownNameIsAUsageErrorThatListsTheChoices) {
  try {
    isa_named("mmx\n");
    FAIL() << "accepted";
  } catch (const base::Error& error) {
    EXPECT_EQ(error.kind(), base::ErrorKind::usage);
    const std::string message = error.what();
    EXPECT_NE(message.find("scalar"), std::string::npos) << message;
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
  }
}

// The choice is made once per process, so each case runs in a child.
TEST(ChoiceDeathTest, EnvironmentForcesOne) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  for (const Isa isa : supported()) {
    EXPECT_EXIT(
        {
          setenv("KARAT_ISA", name_of(isa), 1);
          std::_Exit(chosen() == isa ? 0 : 1);
        },
        testing::ExitedWithCode(0), "")
        << name_of(isa);
  }
}

TEST(ChoiceDeathTest, WithoutTheVariableTheBestRuns) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_EXIT(
      {
        unsetenv("KARAT_ISA");
        std::_Exit(chosen() == supported().front() ? 0 : 1);
      },
      testing::ExitedWithCode(0), "");
}

TEST(ChoiceDeathTest, UnknownForcedOneIsRefused) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_EXIT(
      {
        setenv("KARAT_ISA", "avx1024", 1);
        int status = 1;
        try {
          chosen();
        } catch (const base::Error& error) {
          status = error.kind() == base::ErrorKind::usage ? 0 : 2;
        }
        std::_Exit(status);
      },
      testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace karat::simd
