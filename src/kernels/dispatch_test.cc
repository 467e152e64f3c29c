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
      EXPECT_NE(tables[i]->gemm_bf16_pairs, tables[j]->gemm_bf16_pairs) << tables[i]->name;
    }
  }
}

// One instruction more is no reason to compile everything again.
TEST(Dispatch, Bf16PairsAreAllThatAvx512Bf16Adds) {
  for (const KernelTable* t : supported_tables()) {
    if (std::string_view(t->name) != "avx512_bf16") continue;
    EXPECT_EQ(t->gemm_f32, table_named("avx512").gemm_f32);
    EXPECT_EQ(t->delta_recurrent, table_named("avx512").delta_recurrent);
  }
}

TEST(Dispatch, TheTableInUseIsOfTheChosenInstructionSet) {
  EXPECT_STREQ(table().name, simd::name_of(simd::chosen()));
}

}  // namespace
}  // namespace karat::kernels
