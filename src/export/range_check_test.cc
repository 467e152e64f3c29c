#include "export/range_check.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "base/log.h"
#include "support/memory_source.h"

namespace karat::exporting {
namespace {

using tensor::DType;

// The message of checking `values` [rows, 4] as they become `to`, or what was warned of.
std::string checked(const std::vector<float>& values, DType to) {
  test::MemorySource source;
  const auto rows = static_cast<int64_t>(values.size()) / 4;
  source.add_f32("a.weight", {1, 4}, {1, 2, 3, 4});
  source.add_f32("b.weight", {rows, 4}, values);
  std::vector<const tensor::TensorInfo*> from;
  std::vector<tensor::TensorInfo> out;
  for (const tensor::TensorInfo& tensor : source.tensors()) {
    from.push_back(&tensor);
    out.push_back({tensor.name, to, tensor.shape});
  }
  std::string said;
  base::set_log_sink([&](base::LogLevel, const std::string& text) { said += text; });
  base::ThreadPool pool(2);
  try {
    check_f16_range(source, from, out, pool);
  } catch (const base::Error& error) {
    EXPECT_EQ(error.kind(), base::ErrorKind::gate);
    said = error.what();
  }
  base::set_log_sink({});
  return said;
}

TEST(RangeCheck, CountsWhatIsTooLargeAndNamesTheFirst) {
  const std::string said = checked({1, 2, 3, 4, 5, 70000, 7, -80000, 1e-9f, 1, 1, 1}, DType::f16);
  EXPECT_NE(said.find("'b.weight': 2 values"), std::string::npos) << said;
  EXPECT_NE(said.find("row 1, column 1, is 70000"), std::string::npos) << said;
  EXPECT_NE(said.find("1 would become zero, of 12"), std::string::npos) << said;
  EXPECT_NE(said.find("choose BF16"), std::string::npos) << said;
}

TEST(RangeCheck, SmallValuesAreAWarning) {
  const std::string said = checked({0, 0x1p-25f, -0x1p-26f, 0x1.000002p-25f}, DType::f16);
  EXPECT_NE(said.find("2 values of 1 tensors"), std::string::npos) << said;
}

TEST(RangeCheck, WhatFitsIsSilent) {
  EXPECT_EQ(checked({65504, -65504, 0, 1}, DType::f16), "");
  EXPECT_EQ(checked({70000, 0, 0, 0}, DType::bf16), "");
  EXPECT_EQ(checked({70000, 0, 0, 0}, DType::f32), "");
}

}  // namespace
}  // namespace karat::exporting
