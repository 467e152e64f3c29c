#include "cli/streamed_calibration.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "calib/all_experts.h"
#include "calib/routing.h"
#include "exec/memory_plan.h"
#include "support/files.h"
#include "support/shared.h"

namespace karat::cli {
namespace {

TEST(StreamedCalibration, IsForModelsThatDoNotFitOrOnDemand) {
  const model::OpenedModel opened = model::open_model(test::fixture("tiny-random"));
  const uint64_t weights = exec::weight_shares(*opened.source, opened.config).total(true);
  Common common;
  EXPECT_FALSE(is_streamed("auto", opened, true, common));
  common.mem_limit = weights;  // no room for a pass
  EXPECT_TRUE(is_streamed("auto", opened, true, common));
  EXPECT_FALSE(is_streamed("off", opened, true, common));
  common.mem_limit = 0;
  EXPECT_TRUE(is_streamed("on", opened, true, common));
}

TEST(StreamedCalibration, FingerprintTellsTokensOptionsAndFiles) {
  const model::OpenedModel opened = model::open_model(test::fixture("tiny-random"));
  calib::Corpus corpus{.tokens = {1, 2, 3, 4, 5}, .chunk_size = 2, .chunks = 2};
  calib::StreamedOptions options;
  const auto text = [&] {
    return base::fingerprint_text(calibrate_fingerprint(opened, corpus, options));
  };
  const std::string first = text();
  EXPECT_NE(first.find("model.safetensors-00002-of-00002.safetensors"), std::string::npos) << first;
  corpus.tokens[4] = 9;  // not used
  options.stream.batch_tokens = 17;
  EXPECT_EQ(text(), first);
  const auto differs = [&](const char* name) {
    EXPECT_EQ(base::fingerprint_differences(first, text()), name);
  };
  corpus.tokens[1] = 9;
  differs("tokens");
  corpus.tokens[1] = 2;
  corpus.chunk_size = 1, corpus.chunks = 4;  // the same tokens, cut elsewhere
  differs("tokens");
  corpus.chunk_size = 2, corpus.chunks = 2;
  options.stream.forward.activations = model::Activations::bf16;
  differs("activations");
  options.stream.with_mtp = true;
  differs("mtp, activations");
  options = {};
  calib::AllExpertsTap all;
  calib::RoutingTap routing(8, 2);
  options.also = {&all};
  differs("statistics");
  const std::string one = text();
  options.also = {&routing};  // as many, but others
  EXPECT_EQ(base::fingerprint_differences(one, text()), "statistics");
}

TEST(StreamedCalibration, ACheckpointThatIsThereNeedsNoSpaceOfItsOwn) {
  const test::TempDir dir;
  EXPECT_EQ(disk_bytes_needed(dir.path("none"), 1000), 2000u);
  EXPECT_EQ(disk_bytes_needed(dir.write("half", std::string(600, 'x')), 1000), 1400u);
  EXPECT_EQ(disk_bytes_needed(dir.write("whole", std::string(1000, 'x')), 1000), 1000u);
  EXPECT_EQ(disk_bytes_needed(dir.write("other", std::string(5000, 'x')), 1000), 1000u);
}

// What is wrong is found before anybody looked whose checkpoint it is.
TEST(StreamedCalibration, BadInputLeavesAnotherCommandsCheckpoint) {
  const test::TempDir dir;
  const model::OpenedModel opened = model::open_model(test::fixture("tiny-random"));
  const calib::Corpus corpus{.tokens = {1, 99999, 3, 4}, .chunk_size = 2, .chunks = 2};
  const std::vector<float> rows(3);
  calib::StreamCheckpoint(dir.path("out"), {{"verb", "another"}}).save(1, {}, rows);
  calib::StreamCheckpoint checkpoint(dir.path("out"), {{"verb", "ours"}});
  calib::StreamedOptions options;
  options.checkpoint = &checkpoint;
  base::ThreadPool pool(1);
  try {
    run_streamed(opened, corpus, options, {}, pool);
    FAIL();
  } catch (const base::Error& error) {
    EXPECT_EQ(error.kind(), base::ErrorKind::bad_input);
  }
  EXPECT_TRUE(base::file_exists(checkpoint.path()));
}

}  // namespace
}  // namespace karat::cli
