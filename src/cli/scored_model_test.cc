#include "cli/scored_model.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "eval/divergence.h"
#include "support/shared.h"

namespace karat::cli {
namespace {

TEST(ScoredModel, InMemoryByBlockOrKeptIsTheSame) {
  std::vector<int32_t> tokens;
  for (int i = 0; i < 96; ++i) tokens.push_back(i * 5 % 499);
  const eval::Chunks chunks{tokens, 32, 3};
  base::ThreadPool pool(2);
  const Common common;
  ScoredModel resident(test::fixture("tiny-random")), streamed(test::fixture("tiny-random")),
      kept(test::fixture("tiny-random"));
  resident.load(chunks, {}, common, pool);
  streamed.stream(chunks, {}, common, pool);
  kept.take(streamed.hidden(), {}, pool);
  const auto kld = [&](ScoredModel& model) {
    return eval::measure_divergence(model.scorer(), resident.scorer(), 0, pool);
  };
  for (ScoredModel* model : {&streamed, &kept}) {
    const eval::DivergenceResult result = kld(*model);
    EXPECT_EQ(result.kld.value, 0);
    EXPECT_EQ(result.tokens, 3 * 15);
  }
}

TEST(ScoredModel, TooLittleMemoryIsSaidWithTheChunksThatFit) {
  const std::vector<int32_t> tokens(64 * 5000, 3);
  base::ThreadPool pool(1);
  ScoredModel model(test::fixture("tiny-random"));
  Common common;
  common.mem_limit = 20'000'000;
  try {
    model.stream({tokens, 64, 5000}, {}, common, pool);
    FAIL();
  } catch (const base::Error& error) {
    EXPECT_EQ(error.kind(), base::ErrorKind::memory);
    EXPECT_NE(std::string(error.what()).find("--chunks "), std::string::npos) << error.what();
  }
  common.mem_limit = 1000;
  try {
    model.stream({tokens, 64, 5000}, {}, common, pool);
    FAIL();
  } catch (const base::Error& error) {
    EXPECT_EQ(std::string(error.what()).find("--chunks 0"), std::string::npos) << error.what();
    EXPECT_NE(std::string(error.what()).find("no number of chunks"), std::string::npos);
  }
}

TEST(ScoredModel, WhatTheOtherModelHoldsCounts) {
  const std::vector<int32_t> tokens(64 * 4, 3);
  const eval::Chunks chunks{tokens, 64, 4};
  base::ThreadPool pool(1);
  ScoredModel reference(test::fixture("tiny-random")), model(test::fixture("tiny-random"));
  const uint64_t resident = reference.resident_bytes(chunks, {});
  Common common;
  reference.load(chunks, {}, common, pool);
  EXPECT_EQ(reference.held_bytes(), resident);
  common.mem_limit = resident + 1000;  // enough for either
  model.load(chunks, {}, common, pool);
  EXPECT_THROW(model.load(chunks, {}, common, pool, reference.held_bytes()), base::Error);
  EXPECT_THROW(model.stream(chunks, {}, common, pool, reference.held_bytes()), base::Error);
  model.stream(chunks, {}, common, pool);
  EXPECT_LT(model.held_bytes(), resident);
  // Rows of the 31 scored positions of each chunk, the output matrix and a chunk's logits.
  EXPECT_GE(model.held_bytes(), (4u * 31 * 64 + 31 * 512) * 4 + 512 * 64 * 2);
}

}  // namespace
}  // namespace karat::cli
