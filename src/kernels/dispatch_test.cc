#include "kernels/dispatch.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "base/error.h"

namespace karat::kernels {
namespace {

TEST(Dispatch, TablesAreDistinctCompleteAndEndWithScalar) {
  const auto tables = supported_tables();
  ASSERT_FALSE(tables.empty());
  EXPECT_STREQ(tables.back()->name, "scalar");
  for (size_t i = 0; i < tables.size(); ++i) {
    EXPECT_EQ(&table_named(tables[i]->name), tables[i]);
    for (size_t j = 0; j < i; ++j) {
      EXPECT_STRNE(tables[i]->name, tables[j]->name);
      EXPECT_NE(tables[i]->gemm_f32, tables[j]->gemm_f32) << tables[i]->name;
      EXPECT_NE(tables[i]->delta_chunked, tables[j]->delta_chunked) << tables[i]->name;
    }
  }
}

TEST(Dispatch, UnknownNameIsAUsageErrorThatListsTheChoices) {
  try {
    table_named("mmx\n");
    FAIL() << "accepted";
  } catch (const base::Error& error) {
    EXPECT_EQ(error.kind(), base::ErrorKind::usage);
    const std::string message = error.what();
    EXPECT_NE(message.find("scalar"), std::string::npos) << message;
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
  }
}

// The choice is made once per process, so each case runs in a child.
void expect_forced(const char* name) {
  EXPECT_EXIT(
      {
        setenv("KARAT_ISA", name, 1);
        std::_Exit(std::string(table().name) == name && &table() == &table_named(name) ? 0 : 1);
      },
      testing::ExitedWithCode(0), "")
      << name;
}

TEST(DispatchDeathTest, EnvironmentForcesATable) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  for (const KernelTable* candidate : supported_tables()) expect_forced(candidate->name);
}

TEST(DispatchDeathTest, WithoutTheVariableTheBestTableRuns) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_EXIT(
      {
        unsetenv("KARAT_ISA");
        std::_Exit(&table() == supported_tables().front() ? 0 : 1);
      },
      testing::ExitedWithCode(0), "");
}

TEST(DispatchDeathTest, UnknownForcedTableIsRefused) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_EXIT(
      {
        setenv("KARAT_ISA", "avx1024", 1);
        int status = 1;
        try {
          table();
        } catch (const base::Error& error) {
          status = error.kind() == base::ErrorKind::usage ? 0 : 2;
        }
        std::_Exit(status);
      },
      testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace karat::kernels
