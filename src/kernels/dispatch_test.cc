#include "kernels/dispatch.h"

#include <gtest/gtest.h>

#include "kernels/table.h"

namespace karat::kernels {
namespace {

TEST(Dispatch, TablesAreDistinctCompleteAndEndWithScalar) {
  const auto tables = supported_tables();
  ASSERT_EQ(tables.size(), simd::supported().size());
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

TEST(Dispatch, TheTableInUseIsOfTheChosenInstructionSet) {
  EXPECT_STREQ(table().name, simd::name_of(simd::chosen()));
}

}  // namespace
}  // namespace karat::kernels
