#include "exec/stream.h"

#include <gtest/gtest.h>

#include <map>

#include "base/error.h"
#include "exec/resident.h"
#include "format/gguf.h"
#include "kernels/dispatch.h"

namespace karat::exec {
namespace {

class Stream : public testing::Test {
 protected:
  Stream() {
    for (int i = 0; i < 90; ++i) tokens_.push_back((i * 37 + 5) % 499);
  }

  // The rows after the final norm, each sequence through the resident model by itself.
  std::vector<float> resident() {
    const ResidentModel model(source_, config_, false);
    base::ThreadPool pool(1);
    std::vector<float> rows(tokens_.size() * static_cast<size_t>(config_.hidden));
    int64_t begin = 0;
    for (const int64_t end : ends_) {
      model::SequenceState state(config_);
      const model::Segment segment{0, end - begin, &state};
      const std::span tokens(tokens_.data() + begin, static_cast<size_t>(end - begin));
      model.forward({config_, pool, kernels::table()}, {&segment, 1}, tokens,
                    rows.data() + begin * config_.hidden);
      begin = end;
    }
    return rows;
  }

  LayerStream stream(int64_t batch_tokens, base::ThreadPool& pool, bool with_mtp = true) {
    return {source_, config_, tokens_, ends_, {.batch_tokens = batch_tokens, .with_mtp = with_mtp},
            pool};
  }

  format::GgufSource source_{std::string(KARAT_ROOT) +
                             "/tests/fixtures/goldens/gguf/tiny-f32.gguf"};
  model::Config config_ = model::config_from_gguf(source_.metadata(), "tiny");
  std::vector<int32_t> tokens_;
  std::vector<int64_t> ends_ = {30, 31, 75, 90};
};

TEST_F(Stream, RowsAreTheResidentModels) {
  const std::vector<float> expected = resident();
  for (const int64_t batch : {7, 32, 1000}) {
    base::ThreadPool pool(batch == 32 ? 3 : 1);
    LayerStream run = stream(batch, pool);
    run.start();
    int64_t rows = 0;
    while (!run.done()) run.run(nullptr, [&](const Batch& done) { rows += done.rows; });
    EXPECT_EQ(std::vector<float>(run.rows().begin(), run.rows().end()), expected) << batch;
    EXPECT_EQ(rows, 90 * run.stages());
    EXPECT_EQ(run.stages(), 5);
    EXPECT_EQ(run.tokens_of(0), 90);
    EXPECT_EQ(run.tokens_of(4), 86);
  }
}

TEST_F(Stream, GoesOnFromTheRowsOfAnyStage) {
  base::ThreadPool pool(2);
  LayerStream whole = stream(64, pool, false);
  whole.start();
  std::vector<std::vector<float>> before;
  while (!whole.done()) {
    before.emplace_back(whole.rows().begin(), whole.rows().end());
    whole.run(nullptr, nullptr);
  }
  for (int64_t stage = 0; stage < whole.stages(); ++stage) {
    LayerStream rest = stream(64, pool, false);
    std::copy(before[static_cast<size_t>(stage)].begin(), before[static_cast<size_t>(stage)].end(),
              rest.rows().begin());
    rest.start_at(stage);
    while (!rest.done()) rest.run(nullptr, nullptr);
    EXPECT_TRUE(std::equal(rest.rows().begin(), rest.rows().end(), whole.rows().begin())) << stage;
  }
}

TEST_F(Stream, TokensOutsideTheVocabularyAreRefused) {
  base::ThreadPool pool(1);
  tokens_[3] = static_cast<int32_t>(config_.vocab);
  EXPECT_THROW(stream(8, pool), base::Error);
}

// A tensor that cannot be read is told by the stage that needs it, not by the thread that reads.
TEST_F(Stream, ErrorsOfReadingComeOutOfRun) {
  base::ThreadPool pool(1);
  model::Config more = config_;
  more.mixers.resize(6, model::Mixer::attention);  // the MTP block, and one that is not there
  more.mtp_layers = 0;
  LayerStream run(source_, more, tokens_, ends_, {}, pool);
  run.start();
  for (int stage = 0; stage < 5; ++stage) run.run(nullptr, nullptr);
  EXPECT_THROW(run.run(nullptr, nullptr), base::Error);
}

TEST_F(Stream, MemoryIsTwoBlocksAndTheRows) {
  uint64_t trunk = 0;
  for (const tensor::TensorInfo& info : source_.tensors()) {
    if (info.name.rfind("blk.", 0) == 0) trunk += static_cast<uint64_t>(info.bytes());
  }
  const StreamMemory memory = LayerStream::memory(source_, config_, 90, 44, {});
  EXPECT_EQ(memory.rows, 90u * 64 * 4);
  EXPECT_LT(memory.weights, trunk / 2);
  EXPECT_GT(memory.weights, trunk / 4);
  const StreamMemory fewer = LayerStream::memory(source_, config_, 90, 44, {.batch_tokens = 10});
  EXPECT_LT(fewer.scratch, memory.scratch);
}

// One long sequence beside many of a few tokens: a batch of those holds a state for each.
TEST_F(Stream, MemoryCountsTheStatesOfShortSequences) {
  config_.key_dim = config_.value_dim = 128;
  config_.value_heads = 32;
  const uint64_t state = uint64_t{32} * 128 * 128 * sizeof(float);
  const auto scratch = [&](int64_t longest) {
    return LayerStream::memory(source_, config_, 16384, longest, {}).scratch;
  };
  EXPECT_GE(scratch(8192), scratch(16384) + 50 * state);
  EXPECT_EQ(scratch(8192), scratch(512));
}

// The input of every linear layer, by the weight's name.
class Inputs : public model::Tap {
 public:
  void linear_input(const model::LinearInput& input) override {
    std::vector<float>& rows = rows_[std::string(input.weight) + std::to_string(input.expert)];
    for (int64_t r = 0; r < input.count; ++r) {
      const float* row = input.rows + r * input.ld;
      rows.insert(rows.end(), row, row + input.cols);
    }
  }
  std::map<std::string, std::vector<float>> rows_;
};

// What the MTP block makes of its rows is not kept; taps see it.
TEST_F(Stream, TheMtpStageComputesWhatTheResidentModelDoes) {
  Inputs expected;
  base::ThreadPool pool(2);
  const ResidentModel model(source_, config_, true);
  const std::vector<float> rows = resident();
  const model::ForwardContext context{config_, pool, kernels::table(), {}, &expected};
  int64_t begin = 0;
  for (const int64_t end : ends_) {
    const int64_t pairs = end - begin - 1;  // every row but the last, with the token after it
    model::SequenceState state(config_);
    const model::Segment segment{0, pairs, &state};
    std::vector<float> out(static_cast<size_t>(pairs * config_.hidden));
    if (pairs > 0) {
      model::forward_mtp(
          context, *model.mtp(), model.head(), {&segment, 1},
          std::span(tokens_).subspan(static_cast<size_t>(begin) + 1, static_cast<size_t>(pairs)),
          rows.data() + begin * config_.hidden, out.data());
    }
    begin = end;
  }
  EXPECT_GT(expected.rows_.size(), 10u);
  for (const int64_t batch : {7, 1000}) {
    Inputs seen;
    LayerStream run = stream(batch, pool);
    run.start();
    while (run.next() + 1 < run.stages()) run.run(nullptr, nullptr);
    run.run(&seen, nullptr);
    EXPECT_EQ(seen.rows_, expected.rows_) << batch;
  }
}

}  // namespace
}  // namespace karat::exec
