#include "cli/streamed_calibration.h"

#include <gtest/gtest.h>

#include "support/shared.h"

namespace karat::cli {
namespace {

TEST(StreamedCalibration, IsForModelsThatDoNotFitOrOnDemand) {
  const model::OpenedModel opened = model::open_model(test::fixture("tiny-random"));
  const uint64_t weights = exec::ResidentModel::bytes_needed(*opened.source, opened.config, true);
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
}

}  // namespace
}  // namespace karat::cli
