#include "recipe/probe.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "eval/divergence.h"
#include "exec/resident.h"
#include "model/open.h"
#include "recipe/noisy_source.h"
#include "support/checkpoint.h"

namespace karat::recipe {
namespace {

calib::Packet packet(int64_t sequences, int64_t length) {
  calib::Packet packet;
  for (int64_t s = 0; s < sequences; ++s) {
    for (int64_t i = 0; i < length; ++i) {
      packet.tokens.push_back(static_cast<int32_t>((s * 131 + i * 17 + i * i % 7) % 480));
    }
    packet.ends.push_back(static_cast<int64_t>(packet.tokens.size()));
    packet.domains.push_back(0);
  }
  return packet;
}

TEST(ChooseWindows, AreDisjointSeededAndOfOneLength) {
  const calib::Packet text = packet(10, 40);
  const ProbeText first = choose_windows(text, 32, 0, 4, 1),
                  next = choose_windows(text, 32, 4, 4, 1);
  EXPECT_EQ(first.count, 4);
  EXPECT_EQ(first.tokens.size(), 4u * 32);
  const ProbeText both = choose_windows(text, 32, 0, 8, 1);
  EXPECT_TRUE(std::equal(first.tokens.begin(), first.tokens.end(), both.tokens.begin()));
  EXPECT_TRUE(std::equal(next.tokens.begin(), next.tokens.end(), both.tokens.begin() + 4 * 32));
  EXPECT_NE(choose_windows(text, 32, 0, 4, 2).tokens, first.tokens);
  EXPECT_EQ(choose_windows(text, 32, 0, 100, 1).count, 12);  // 400 tokens
  EXPECT_THROW(choose_windows(text, 32, 12, 1, 1), base::Error);
}

class ProbeTest : public testing::Test {
 protected:
  model::OpenedModel opened_ = model::open_model(test::kTinyCheckpoint);
  ProbeText text_ = choose_windows(packet(3, 32), 32, 0, 3, 0);
  base::ThreadPool pool_{2};
};

TEST_F(ProbeTest, MeasuresWhatEvaluationMeasures) {
  Probe probe(*opened_.source, opened_.config, text_, {}, pool_);
  const NoisySource noisy(*opened_.source, {{"blk.1.ffn_down_exps.weight", 0.3}}, 1);
  const std::vector<double> ours = probe.divergence(noisy, 1);
  const exec::ResidentModel model(noisy, opened_.config, false),
      original(*opened_.source, opened_.config, false);
  const eval::DivergenceResult theirs =
      eval::measure_divergence(model, {}, original, {}, text_.chunks(), 0, pool_);
  ASSERT_EQ(ours.size(), 3u);
  for (size_t i = 0; i < 3; ++i) EXPECT_NEAR(ours[i], theirs.chunk_kld[i], 1e-12);
  EXPECT_GT(ours[0], 0);
  // From the beginning, the blocks before the first other one come out the same.
  EXPECT_EQ(probe.divergence(noisy, -1), ours);
}

TEST_F(ProbeTest, OfTheOutputMatrixAlone) {
  Probe probe(*opened_.source, opened_.config, text_, {}, pool_);
  const NoisySource noisy(*opened_.source, {{"output.weight", 0.3}}, 1);
  const std::vector<double> head = probe.divergence(noisy, opened_.config.layers());
  EXPECT_GT(head[0], 0);
  EXPECT_EQ(probe.divergence(noisy, -1), head);
  EXPECT_EQ(probe.divergence(*opened_.source, -1), (std::vector<double>{0, 0, 0}));
}

}  // namespace
}  // namespace karat::recipe
