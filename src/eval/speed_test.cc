#include "eval/speed.h"

#include <gtest/gtest.h>

#include <cmath>
#include <string>

#include "base/error.h"
#include "model/names.h"
#include "model/open.h"

namespace karat::eval {
namespace {

const model::OpenedModel& demo() {
  static const model::OpenedModel opened =
      model::open_model(std::string(KARAT_ROOT) + "/demo/model");
  return opened;
}

TEST(SpeedTests, NamesAreLlamaBenchs) {
  EXPECT_EQ((SpeedTest{512, 0, 0}.name()), "pp512");
  EXPECT_EQ((SpeedTest{0, 128, 0}.name()), "tg128");
  EXPECT_EQ((SpeedTest{512, 128, 0}.name()), "pp512+tg128");
  EXPECT_EQ((SpeedTest{0, 32, 4096}.name()), "tg32 @ d4096");
}

TEST(SpeedTests, EveryDepthWithEveryKind) {
  const std::vector<int64_t> prompts = {512, 0}, generations = {128}, depths = {0, 64};
  const std::vector<std::pair<int64_t, int64_t>> pairs = {{8, 4}};
  std::string names;
  for (const SpeedTest& test : speed_tests(prompts, generations, pairs, depths)) {
    names += test.name() + ";";
  }
  EXPECT_EQ(names, "pp512;tg128;pp8+tg4;pp512 @ d64;tg128 @ d64;pp8+tg4 @ d64;");
}

TEST(SpeedSamples, RatesDeviationMedianAndRatio) {
  const SpeedSamples samples{{500'000'000, 1'000'000'000}};
  EXPECT_EQ(samples.rates({0, 10, 0}), (std::vector<double>{20, 10}));
  EXPECT_DOUBLE_EQ(sample_deviation(samples.rates({0, 10, 0})), std::sqrt(50.0));
  EXPECT_EQ(sample_deviation(std::vector<double>{3}), 0);
  EXPECT_EQ(median_of({3, 1, 2}), 2);
  const SpeedRatio ratio = ratio_of_medians(std::vector<double>{30, 33, 36, 30, 33},
                                            std::vector<double>{10, 11, 12, 10, 11}, 1);
  EXPECT_DOUBLE_EQ(ratio.value, 3);
  EXPECT_DOUBLE_EQ(ratio.interval.low, 3);  // every pair says so
  EXPECT_DOUBLE_EQ(ratio.interval.high, 3);
  const SpeedRatio noisy =
      ratio_of_medians(std::vector<double>{30, 50}, std::vector<double>{10, 10}, 1);
  EXPECT_DOUBLE_EQ(noisy.value, 4);
  EXPECT_DOUBLE_EQ(noisy.interval.low, 3);
  EXPECT_DOUBLE_EQ(noisy.interval.high, 5);
}

TEST(TokenCost, CountsTheActiveTensors) {
  const model::Config& c = demo().config;
  const TokenCost cost = token_cost(*demo().source, c, {});
  uint64_t bytes = 0;
  double head = 0;
  for (const tensor::TensorInfo& info : demo().source->tensors()) {
    if (model::layer_of(info.name) == c.layers()) continue;  // the MTP block
    if (info.name == "output.weight") head += 2 * static_cast<double>(info.shape.elements());
    if (info.name == "token_embd.weight") {
      bytes += static_cast<uint64_t>(info.row_bytes());
    } else if (info.name.find("_exps.") != std::string::npos) {
      bytes += static_cast<uint64_t>(info.bytes() * c.experts_used / c.experts);
    } else {
      bytes += static_cast<uint64_t>(info.bytes());
    }
  }
  ASSERT_FALSE(c.tied_embeddings);
  EXPECT_EQ(cost.weight_bytes, bytes);
  EXPECT_EQ(cost.head_flops, head);
  EXPECT_GT(cost.cache_bytes, 0u);
  const double flat = static_cast<double>(cost.weight_bytes + cost.state_bytes);
  EXPECT_EQ(cost.decode_bytes({0, 8, 100}), flat + 104 * static_cast<double>(cost.cache_bytes));
  // A prompt takes the head once, decoding for each token.
  EXPECT_EQ(cost.test_flops({8, 0, 0}) + 7 * head, cost.test_flops({0, 8, 0}));
}

TEST(SpeedRunner, MeasuresEveryKindOfTest) {
  const exec::ResidentModel model(*demo().source, demo().config, false);
  base::ThreadPool pool(2);
  SpeedRunner runner(model, pool,
                     {.piece_tokens = 16, .cache = {tensor::DType::f16, tensor::DType::f16}});
  for (const SpeedTest& test : {SpeedTest{20, 0, 0}, SpeedTest{0, 3, 0}, SpeedTest{5, 2, 0},
                                SpeedTest{0, 2, 24}, SpeedTest{9, 0, 24}}) {
    runner.warm_up(test);
    for (int repetition = 0; repetition < 2; ++repetition) EXPECT_GT(runner.run(test), 0);
  }
  SpeedRunner none(model, pool, {.piece_tokens = 0});
  EXPECT_THROW(none.run({1, 0, 0}), base::Error);
}

}  // namespace
}  // namespace karat::eval
