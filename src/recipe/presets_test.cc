#include "recipe/presets.h"

#include <gtest/gtest.h>

#include <set>

#include "base/error.h"

namespace karat::recipe {
namespace {

TEST(Presets, NamesAliasesAndNumbers) {
  EXPECT_EQ(preset_named("q4_k_m").name, "Q4_K_M");
  EXPECT_EQ(preset_named("Q3_K").name, "Q3_K_M");
  EXPECT_EQ(preset_named("q4_k").name, "Q4_K_M");
  EXPECT_EQ(preset_named("Q5_K").name, "Q5_K_M");
  EXPECT_EQ(preset_named("15").name, "Q4_K_M");
  EXPECT_EQ(preset_named("0").name, "F32");
  EXPECT_TRUE(preset_named("copy").copies);
  for (const char* name : {"", "Q4_K_L", "4", "39", "15 ", "-1", "Q4_K_M "}) {
    EXPECT_EQ(find_preset(name), nullptr) << name;
  }
  EXPECT_THROW(preset_named("Q4_K_L"), base::Error);
}

TEST(Presets, EachOnce) {
  std::set<std::string_view> names;
  std::set<Ftype> ftypes;
  for (const Preset& preset : presets()) {
    EXPECT_TRUE(names.insert(preset.name).second) << preset.name;
    if (!preset.copies) {
      EXPECT_TRUE(ftypes.insert(preset.ftype).second) << preset.name;
    }
    EXPECT_EQ(find_preset(preset.name), &preset);
  }
  EXPECT_EQ(names.size(), 36u);
}

TEST(Presets, WhichQuantize) {
  for (const char* name : {"F32", "F16", "BF16", "COPY"}) {
    EXPECT_FALSE(preset_named(name).quantizes()) << name;
  }
  EXPECT_TRUE(preset_named("Q8_0").quantizes());
  EXPECT_TRUE(preset_named("IQ1_S").quantizes());
}

}  // namespace
}  // namespace karat::recipe
