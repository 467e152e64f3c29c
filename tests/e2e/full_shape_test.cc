// The published model's shape, in files of holes.
#include <gtest/gtest.h>

#include "base/json.h"
#include "support/full_checkpoint.h"
#include "support/program.h"

namespace karat {
namespace {

TEST(FullShape, InspectCountsTheCheckpointsTensors) {
  for (const bool split : {false, true}) {
    const test::TempDir dir;
    try {
      test::write_full_checkpoint(dir.path(), split, 26);
    } catch (const std::filesystem::filesystem_error& error) {
      GTEST_SKIP() << "no files of holes that large here: " << error.what();
    }
    const test::Outcome outcome = test::run_karat({"inspect", dir.path(), "--json"});
    ASSERT_TRUE(test::succeeded(outcome));
    const base::Json json = base::parse_json(outcome.out);
    // 41 blocks have 2 fused expert tensors, or 3 x 256 apart.
    EXPECT_EQ(json.at("stored_tensors").as_int(), split ? 1045 + 41 * (768 - 2) : 1045);
    EXPECT_EQ(json.at("stored_params").as_int(), 35'951'822'704);
    EXPECT_EQ(json.at("tensors_count").as_int(), 753);
    EXPECT_EQ(json.at("params").as_int(), 34'660'610'688 + 844'640'768);
    std::printf("%s experts: %.2f s of CPU, %.1f MB\n", split ? "split" : "fused",
                outcome.cpu_seconds, static_cast<double>(outcome.rss_max) * 1e-6);
  }
}

}  // namespace
}  // namespace karat
