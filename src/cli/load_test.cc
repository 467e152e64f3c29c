#include "cli/load.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "support/shared.h"

namespace karat::cli {
namespace {

TEST(Load, MemoryLimitIsCheckedBeforeReading) {
  const auto opened = model::open_model(test::fixture("tiny-random"));
  Common common;
  common.mem_limit = 1000;
  try {
    load_resident(opened, true, common);
    FAIL();
  } catch (const base::Error& error) {
    EXPECT_EQ(error.kind(), base::ErrorKind::memory);
    EXPECT_NE(std::string(error.what()).find("--mem-limit"), std::string::npos);
  }
  common.mem_limit = uint64_t{1} << 30;
  EXPECT_NE(load_resident(opened, true, common)->mtp(), nullptr);
  EXPECT_EQ(load_resident(opened, false, common)->mtp(), nullptr);
}

TEST(Load, AFolderWithoutTokenizerSaysSo) {
  auto opened = model::open_model(test::fixture("tiny-random"));
  opened.tokenizer.reset();
  EXPECT_THROW(make_tokenizer(opened), base::Error);
}

TEST(Load, Activations) {
  EXPECT_EQ(activations_named("f32"), model::Activations::f32);
  EXPECT_EQ(activations_named("bf16"), model::Activations::bf16);
  EXPECT_EQ(activations_named("stock"), model::Activations::stock);
  EXPECT_EQ(activations_named("q8"), model::Activations::q8);
}

}  // namespace
}  // namespace karat::cli
