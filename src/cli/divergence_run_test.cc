#include "cli/divergence_run.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "support/files.h"
#include "support/shared.h"

namespace karat::cli {
namespace {

class DivergenceRunTest : public testing::Test {
 protected:
  DivergenceRunTest() {
    dir_.write("text", std::string(200, 'a') + " some words of no meaning\n");
    request_.model = request_.reference = test::fixture("tiny-random");
    request_.text = dir_.path("text");
    request_.n_ctx = 16, request_.chunks_max = 4;
  }
  std::string refusal() {
    try {
      check_divergence_request(request_);
    } catch (const base::Error& error) {
      EXPECT_EQ(error.kind(), base::ErrorKind::usage);
      return error.what();
    }
    return "";
  }
  test::TempDir dir_;
  DivergenceRequest request_;
  Common common_;
};

TEST_F(DivergenceRunTest, AFloorAndAPairInMemoryAndByBlockAreTheSame) {
  request_.against = request_.model;
  request_.floor = true;
  request_.options.forward.activations = model::Activations::bf16;
  const DivergenceReport resident = run_divergence(request_, common_);
  ASSERT_EQ(resident.floors.size(), 2u);
  EXPECT_EQ(resident.floor, 0u);
  EXPECT_GT(resident.floors[0].second.kld.value, 0);
  EXPECT_NE(resident.floors[0].second.kld.value, resident.floors[1].second.kld.value);
  ASSERT_TRUE(resident.against && resident.paired);
  EXPECT_EQ(resident.paired->difference, 0);
  EXPECT_EQ(resident.model.chunk_kld, resident.against->chunk_kld);
  request_.stream = "on";
  const DivergenceReport streamed = run_divergence(request_, common_);
  EXPECT_EQ(streamed.model.chunk_kld, resident.model.chunk_kld);
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(streamed.floors[i].second.chunk_kld, resident.floors[i].second.chunk_kld);
  }
}

TEST_F(DivergenceRunTest, TheFloorIsThatOfTheCandidatesArithmetic) {
  request_.floor = true;
  request_.options.forward.activations = model::Activations::stock;
  EXPECT_EQ(run_divergence(request_, common_).floor, 1u);
}

TEST_F(DivergenceRunTest, AModelAgainstItselfIsNothingAndHasNoPair) {
  const DivergenceReport report = run_divergence(request_, common_);
  EXPECT_EQ(report.model.kld.value, 0);
  EXPECT_FALSE(report.against || report.paired);
  EXPECT_TRUE(report.floors.empty());
}

TEST_F(DivergenceRunTest, ContradictionsAreRefused) {
  EXPECT_EQ(refusal(), "");
  request_.floor = true;
  request_.reference_options.forward.activations = model::Activations::bf16;
  EXPECT_NE(refusal().find("--ref-activations"), std::string::npos);
  request_.reference_options = {};
  request_.reference_hidden = "rows";
  EXPECT_NE(refusal().find("-f"), std::string::npos);
  request_.reference_hidden.clear(), request_.reference.clear();
  EXPECT_NE(refusal().find("--ref MODEL"), std::string::npos);
  request_.base = "logits", request_.text.clear();
  EXPECT_NE(refusal().find("--floor"), std::string::npos);
  request_.floor = false;
  EXPECT_EQ(refusal(), "");
}

}  // namespace
}  // namespace karat::cli
