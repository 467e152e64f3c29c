#include "export/validate.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "support/edited_source.h"
#include "support/memory_source.h"

namespace karat::exporting {
namespace {

using tensor::DType;

TEST(Validate, NamesTheFirstBadBlockOfEachTensor) {
  constexpr int64_t kRows = 3000, kCols = 256;  // several pieces
  std::vector<float> values(kRows * kCols, 1.0f);
  test::MemorySource memory;
  memory.add_f32("sound", {kRows, kCols}, values);
  values[1500 * kCols + 7] = std::nanf("");
  values[2999 * kCols + 8] = -std::numeric_limits<float>::infinity();
  memory.add_f32("damaged", {kRows, kCols}, values);
  memory.add("integers", DType::i32, {4});
  memory.add("packed", DType::q8_0, {4, 64});
  memory.add("strange", DType::q8_k, {1, 256});
  test::EditedSource source(memory);
  std::vector<std::byte> blocks = source.bytes_of("packed");
  // The scale of the last row's second block: infinity as f16.
  blocks[7 * 34] = std::byte{0x00};
  blocks[7 * 34 + 1] = std::byte{0x7c};
  source.set("packed", DType::q8_0, {4, 64}, blocks);
  for (const int threads : {1, 2, 7}) {
    base::ThreadPool pool(threads);
    const Validation found = validate_tensors(source, pool);
    ASSERT_EQ(found.bad.size(), 2u) << threads;
    EXPECT_EQ(found.bad[0].tensor, "damaged");
    EXPECT_EQ(found.bad[0].row, 1500);
    EXPECT_EQ(found.bad[0].block, 7);
    EXPECT_EQ(found.bad[1].tensor, "packed");
    EXPECT_EQ(found.bad[1].row, 3);
    EXPECT_EQ(found.bad[1].block, 1);
    EXPECT_EQ(found.unknown_types, std::set<std::string>{"q8_K"});
  }
}

}  // namespace
}  // namespace karat::exporting
