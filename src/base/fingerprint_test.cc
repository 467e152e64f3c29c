#include "base/fingerprint.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "support/files.h"

namespace karat::base {
namespace {

TEST(Fingerprint, DifferencesAreNamedWhereverTheyAre) {
  const std::string ours = fingerprint_text({{"type", "Q4_K_M"}, {"model", "12 bytes"}});
  EXPECT_EQ(ours, R"({"type": "Q4_K_M", "model": "12 bytes"})");
  EXPECT_EQ(fingerprint_differences(ours, ours), "");
  EXPECT_EQ(fingerprint_differences(fingerprint_text({{"type", "Q8_0"}, {"pure", "yes"}}), ours),
            "type, model, pure");
  EXPECT_EQ(fingerprint_differences("not JSON", ours), "");
  EXPECT_EQ(fingerprint_differences("[1]", ours), "");
}

TEST(Fingerprint, AFileIsKnownByItsHeadAndSize) {
  const test::TempDir dir;
  const std::string state = file_state(dir.write("a", "abc"));
  EXPECT_EQ(state.rfind("3 bytes, changed ", 0), 0u) << state;
  EXPECT_NE(file_state(dir.write("a", "abd")), state);
  EXPECT_THROW(file_state(dir.path("none")), Error);
}

}  // namespace
}  // namespace karat::base
