#include "model/rope.h"

#include <gtest/gtest.h>

#include <cmath>
#include <string>

#include "support/golden.h"

namespace karat::model {
namespace {

RopeConfig config_of(const std::string& size, const std::string& scaling) {
  RopeConfig config;
  if (size == "tiny") config.dims = 8, config.sections = {2, 1, 1, 0};
  if (scaling != "default") {
    config.scaling = "yarn";
    config.factor = scaling == "yarn4" ? 4 : 2;
    config.original_context = 262144;
  }
  return config;
}

// Tolerances of tests/fixtures/README.md, "RoPE / YaRN": the goldens' frequencies are float32, so
// their angles differ from ours by up to 1.2e-7 of the position.
TEST(Rope, MatchesTheGoldenTables) {
  const golden::Goldens goldens("rope/yarn.safetensors");
  for (const std::string size : {"real", "tiny"}) {
    const std::vector<int32_t> text = goldens.ids(size + ".positions");
    const std::vector<int32_t> axes = goldens.ids(size + ".mrope_positions");
    for (const std::string scaling : {"default", "yarn4", "yarn2"}) {
      const std::string prefix = size + "." + scaling + ".";
      const RopeTable table = make_rope_table(config_of(size, scaling));
      const std::vector<double> frequency = goldens.get(prefix + "inv_freq");
      ASSERT_EQ(table.frequency.size(), frequency.size());
      const size_t half = frequency.size();
      for (size_t i = 0; i < half; ++i) {
        // the goldens' frequencies pass through at most five float32 roundings
        EXPECT_NEAR(table.frequency[i], frequency[i], 5 * 0x1p-24 * frequency[i]) << prefix << i;
      }
      for (const bool mrope : {false, true}) {
        const std::string kind = prefix + (mrope ? "mrope." : "text.");
        const std::vector<double> cos = goldens.get(kind + "cos_f64");
        const std::vector<double> sin = goldens.get(kind + "sin_f64");
        for (size_t t = 0; t < text.size(); ++t) {
          RopePosition position{text[t], text[t], text[t]};
          for (size_t axis = 0; mrope && axis < 3; ++axis)
            position[axis] = axes[axis * text.size() + t];
          std::vector<float> c(half), s(half);
          rope_angles(table, position, c.data(), s.data());
          for (size_t i = 0; i < half; ++i) {
            const auto place = static_cast<double>(position[table.axis[i]]);
            const double tolerance = 1e-6 + 1.2e-7 * place;
            EXPECT_NEAR(c[i], cos[t * half + i], tolerance) << kind << t << " " << i;
            EXPECT_NEAR(s[i], sin[t * half + i], tolerance) << kind << t << " " << i;
          }
        }
      }
    }
  }
}

TEST(Rope, AxesInterleave) {
  const RopeTable table = make_rope_table({});
  int64_t counts[3] = {};
  for (const uint8_t axis : table.axis) ++counts[axis];
  EXPECT_EQ(counts[0], 11);
  EXPECT_EQ(counts[1], 11);
  EXPECT_EQ(counts[2], 10);
  EXPECT_EQ(table.axis[1], 1);
  EXPECT_EQ(table.axis[29], 2);
  EXPECT_EQ(table.axis[30], 0);
  EXPECT_EQ(table.axis[31], 1);
}

// Check values of the four-fold extension of 262,144 tokens, computed by hand from the paper's
// formulas.
TEST(Rope, YarnFactor) {
  EXPECT_NEAR(make_rope_table(config_of("real", "yarn4")).factor, 1.138629436, 1e-9);
  EXPECT_NEAR(make_rope_table(config_of("real", "yarn4")).frequency[18], 7.217387e-5, 1e-11);
  EXPECT_EQ(make_rope_table({}).factor, 1.0);
}

}  // namespace
}  // namespace karat::model
