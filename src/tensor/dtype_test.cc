#include "tensor/dtype.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

#include "base/error.h"

namespace karat::tensor {
namespace {

TEST(DType, EveryRowIsFoundByItsNames) {
  std::set<uint32_t> ids;
  std::set<std::string> names;
  for (const DTypeInfo& row : dtypes()) {
    const auto id = static_cast<uint32_t>(row.type);
    EXPECT_TRUE(ids.insert(id).second) << id;
    EXPECT_TRUE(names.insert(std::string(row.name)).second) << row.name;
    EXPECT_EQ(dtype_from_id(id), row.type);
    EXPECT_EQ(dtype_from_name(row.name), row.type);
    EXPECT_EQ(info(row.type).name, row.name);
    EXPECT_EQ(row.quantized(), row.block_elems > 1);
    if (row.safetensors.empty()) continue;
    EXPECT_EQ(dtype_from_safetensors(row.safetensors), row.type);
  }
  EXPECT_EQ(dtype_from_name("Q4_K"), DType::q4_k);
  EXPECT_EQ(dtype_from_name("BF16"), DType::bf16);
  EXPECT_EQ(dtype_from_name("q4"), std::nullopt);
  EXPECT_EQ(dtype_from_safetensors(""), std::nullopt);
  EXPECT_EQ(dtype_from_safetensors("bf16"), std::nullopt);
}

TEST(DType, IdsThatGgmlDroppedAreUnknown) {
  for (const uint32_t id : {4u, 5u, 31u, 32u, 33u, 36u, 37u, 38u, 100u, UINT32_MAX}) {
    EXPECT_EQ(dtype_from_id(id), std::nullopt) << id;
  }
}

// Bits per weight that follow from the block layouts of the formats.
TEST(DType, BitsPerWeight) {
  const std::pair<DType, double> expected[] = {
      {DType::f32, 32},       {DType::f16, 16},     {DType::bf16, 16},     {DType::q8_0, 8.5},
      {DType::q4_0, 4.5},     {DType::q4_k, 4.5},   {DType::q5_k, 5.5},    {DType::q6_k, 6.5625},
      {DType::q3_k, 3.4375},  {DType::q2_k, 2.625}, {DType::iq4_xs, 4.25}, {DType::iq2_xxs, 2.0625},
      {DType::iq1_s, 1.5625}, {DType::mxfp4, 4.25}, {DType::tq1_0, 1.6875}};
  for (const auto& [type, bits] : expected) {
    const DTypeInfo& row = info(type);
    EXPECT_EQ(8.0 * row.block_bytes / row.block_elems, bits) << row.name;
  }
}

TEST(DType, RowBytes) {
  EXPECT_EQ(row_bytes(DType::f32, 7), 28);
  EXPECT_EQ(row_bytes(DType::q8_0, 64), 68);
  EXPECT_EQ(row_bytes(DType::q6_k, 512), 420);
  EXPECT_EQ(row_bytes(DType::q4_k, 0), 0);
  EXPECT_THROW(row_bytes(DType::q4_k, 255), base::Error);
  EXPECT_THROW(row_bytes(DType::f64, INT64_MAX), base::Error);
}

}  // namespace
}  // namespace karat::tensor
