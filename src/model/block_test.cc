#include "model/block.h"

#include <gtest/gtest.h>

#include <string>

#include "base/error.h"
#include "kernels/dispatch.h"
#include "support/golden.h"

namespace karat::model {
namespace {

class Blocks : public testing::Test {
 protected:
  const golden::Tiny tiny_;
  base::ThreadPool pool_{2};
  ForwardContext context_{tiny_.config, pool_, kernels::table()};
  SequenceState first_{tiny_.config}, second_{tiny_.config};

  std::vector<float> rows(int64_t count) const {
    std::vector<float> x(static_cast<size_t>(count * tiny_.config.hidden));
    for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>((i * 37) % 101) / 50 - 1;
    return x;
  }
  void run(int64_t layer, std::span<const Segment> segments, std::vector<float>& x) {
    forward_block(context_, tiny_.blocks[static_cast<size_t>(layer)], segments, x.data());
  }
};

struct Seen {
  std::string weight;
  int64_t count, cols, expert;
  std::vector<std::pair<int64_t, int64_t>> origins;
  std::vector<float> rows, gate_weights;
  std::vector<int32_t> ranks;
};

class Recorder : public Tap {
 public:
  void linear_input(const LinearInput& input) override {
    Seen& seen = inputs.emplace_back();
    seen.weight = input.weight, seen.count = input.count, seen.cols = input.cols;
    seen.expert = input.expert;
    for (const RowOrigin& origin : input.origins)
      seen.origins.emplace_back(origin.sequence, origin.position);
    for (int64_t r = 0; r < input.count; ++r) {
      seen.rows.insert(seen.rows.end(), input.rows + r * input.ld,
                       input.rows + r * input.ld + input.cols);
    }
    seen.gate_weights.assign(input.gate_weights.begin(), input.gate_weights.end());
    seen.ranks.assign(input.ranks.begin(), input.ranks.end());
  }
  bool wants_stages() const override { return with_stages; }
  void stage(const Stage& stage) override {
    if (stage.name == erase) std::fill_n(stage.values, stage.rows * stage.cols, 0.0F);
  }
  std::vector<const Seen*> of(const std::string& weight) const {
    std::vector<const Seen*> found;
    for (const Seen& seen : inputs) {
      if (seen.weight == weight) found.push_back(&seen);
    }
    return found;
  }
  std::vector<Seen> inputs;
  bool with_stages = false;
  std::string erase;
};

TEST_F(Blocks, TapSeesEveryDenseLayerWithItsRowsOrigins) {
  Recorder tap;
  context_.tap = &tap;
  first_.advance(5);
  const Segment segments[] = {{11, 2, &first_}, {4, 3, &second_}};
  std::vector<float> x = rows(5);
  run(1, segments, x);
  const std::vector<std::pair<int64_t, int64_t>> origins = {
      {11, 5}, {11, 6}, {4, 0}, {4, 1}, {4, 2}};
  for (const char* name :
       {"attn_qkv", "attn_gate", "ssm_beta", "ssm_alpha", "ssm_out", "ffn_gate_inp",
        "ffn_gate_inp_shexp", "ffn_gate_shexp", "ffn_up_shexp", "ffn_down_shexp"}) {
    const auto seen = tap.of("blk.1." + std::string(name) + ".weight");
    ASSERT_EQ(seen.size(), 1U) << name;
    EXPECT_EQ(seen[0]->origins, origins) << name;
    EXPECT_EQ(seen[0]->expert, -1) << name;
    EXPECT_TRUE(seen[0]->ranks.empty()) << name;
  }
  EXPECT_EQ(tap.of("blk.1.attn_qkv.weight")[0]->rows, tap.of("blk.1.ssm_alpha.weight")[0]->rows);
}

TEST_F(Blocks, TapSeesEveryExpertsRowsOnce) {
  Recorder tap;
  context_.tap = &tap;
  const Segment segments[] = {{0, 9, &first_}, {1, 4, &second_}};
  std::vector<float> x = rows(13);
  run(3, segments, x);
  const auto router = tap.of("blk.3.ffn_gate_inp.weight");
  const auto gates = tap.of("blk.3.ffn_gate_exps.weight"), ups = tap.of("blk.3.ffn_up_exps.weight");
  const auto downs = tap.of("blk.3.ffn_down_exps.weight");
  ASSERT_EQ(gates.size(), ups.size());
  ASSERT_EQ(gates.size(), downs.size());
  std::vector<float> weight_sums(13);
  int64_t total = 0, previous = -1;
  for (size_t i = 0; i < gates.size(); ++i) {
    const Seen& gate = *gates[i];
    EXPECT_GT(gate.expert, previous);
    previous = gate.expert;
    EXPECT_EQ(gate.rows, ups[i]->rows);
    EXPECT_EQ(gate.origins, downs[i]->origins);
    EXPECT_EQ(downs[i]->cols, tiny_.config.expert_ffn);
    total += gate.count;
    int64_t before = -1;
    for (int64_t r = 0; r < gate.count; ++r) {
      const auto at = static_cast<size_t>(r);
      const auto [sequence, position] = gate.origins[at];
      const int64_t row = sequence == 0 ? position : 9 + position;
      EXPECT_GT(row, before);
      before = row;
      weight_sums[static_cast<size_t>(row)] += gate.gate_weights[at];
      EXPECT_EQ(gate.ranks[at] == 0, gate.gate_weights[at] >= 0.5F);  // of two experts
      EXPECT_TRUE(std::equal(gate.rows.begin() + r * 64, gate.rows.begin() + (r + 1) * 64,
                             router[0]->rows.begin() + row * 64));
    }
  }
  EXPECT_EQ(total, 13 * tiny_.config.experts_used);
  for (const float sum : weight_sums) EXPECT_NEAR(sum, 1, 1e-6);
}

TEST_F(Blocks, StagesAreLive) {
  const Segment segment{0, 3, &first_};
  std::vector<float> x = rows(3), expected = x;
  Recorder tap;
  tap.with_stages = true;
  context_.tap = &tap;
  tap.erase = "gdn.out_proj";
  run(0, {&segment, 1}, x);
  EXPECT_NE(x, expected);  // the experts still add something
  x = expected;
  tap.erase = "moe.out";
  const Segment again{0, 3, &second_};
  run(0, {&again, 1}, x);
  const std::vector<float> with_mixer = x;
  EXPECT_NE(with_mixer, expected);
}

// A tap must not change the result.
TEST_F(Blocks, TapsChangeNothing) {
  for (const int64_t layer : {0, 3}) {
    std::vector<float> plain = rows(6), tapped = plain;
    SequenceState a(tiny_.config), b(tiny_.config);
    const Segment one{0, 6, &a}, two{0, 6, &b};
    run(layer, {&one, 1}, plain);
    Recorder tap;
    tap.with_stages = true;
    context_.tap = &tap;
    run(layer, {&two, 1}, tapped);
    context_.tap = nullptr;
    EXPECT_EQ(plain, tapped);
  }
}

TEST_F(Blocks, EmptyBatchesAndMissingStates) {
  std::vector<float> none(1);
  run(0, {}, none);
  const Segment empty{0, 0, &first_};
  for (const int64_t layer : {0, 3}) run(layer, {&empty, 1}, none);
  EXPECT_EQ(first_.block(3).attention.k.rows(), 0);
  const Segment lost{0, 1, nullptr};
  std::vector<float> x = rows(1);
  EXPECT_THROW(run(0, {&lost, 1}, x), base::Error);
}

}  // namespace
}  // namespace karat::model
