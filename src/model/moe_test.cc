#include <gtest/gtest.h>

#include <cstring>
#include <limits>
#include <map>
#include <string>
#include <tuple>

#include "codec/codec.h"
#include "kernels/dispatch.h"
#include "model/block.h"
#include "support/edited_source.h"
#include "support/golden.h"

namespace karat::model {
namespace {

class Moe : public testing::Test {
 protected:
  const golden::Tiny tiny_;
  base::ThreadPool pool_{2};
  ForwardContext context_{tiny_.config, pool_, kernels::table()};

  std::vector<float> run(const BlockWeights& weights, const std::vector<float>& x) {
    SequenceState state(tiny_.config);
    const auto rows = static_cast<int64_t>(x.size()) / tiny_.config.hidden;
    const Segment segment{0, rows, &state};
    const Batch batch = make_batch(context_, weights.layer, {&segment, 1});
    std::vector<float> y(x.size());
    moe(context_, weights, batch, x.data(), y.data());
    return y;
  }
  std::vector<float> rows(int64_t count) const {
    std::vector<float> x(static_cast<size_t>(count * tiny_.config.hidden));
    for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>((i * 53) % 97) / 40 - 1;
    return x;
  }
};

TEST_F(Moe, FusedGateAndUpGiveTheSameBits) {
  test::EditedSource source(tiny_.source);
  const std::string gate = "blk.2.ffn_gate_exps.weight", up = "blk.2.ffn_up_exps.weight";
  const std::vector<std::byte> gates = source.bytes_of(gate), ups = source.bytes_of(up);
  std::vector<std::byte> fused;
  const int64_t one = static_cast<int64_t>(gates.size()) / 8;
  for (int64_t e = 0; e < 8; ++e) {
    fused.insert(fused.end(), gates.begin() + e * one, gates.begin() + (e + 1) * one);
    fused.insert(fused.end(), ups.begin() + e * one, ups.begin() + (e + 1) * one);
  }
  source.remove(gate);
  source.remove(up);
  source.set("blk.2.ffn_gate_up_exps.weight", tensor::DType::f32, {8, 64, 64}, fused);
  WeightBytes bytes;
  const BlockWeights weights = bind_block(source, tiny_.config, 2, bytes);
  EXPECT_FALSE(weights.moe.gate);
  EXPECT_EQ(run(weights, rows(20)), run(tiny_.blocks[2], rows(20)));
}

class Choice : public Tap {
 public:
  bool wants_stages() const override { return true; }
  void stage(const Stage& stage) override {
    if (stage.name == "moe.router_logits") std::copy(logits.begin(), logits.end(), stage.values);
    if (stage.name == "moe.topk_ids") ids.assign(stage.values, stage.values + stage.cols);
    if (stage.name == "moe.topk_weights") weights.assign(stage.values, stage.values + stage.cols);
  }
  std::vector<float> logits, ids, weights;
};

TEST_F(Moe, ChoosesTheLargestAndTheLowerOfEqualOnes) {
  Choice tap;
  context_.tap = &tap;
  const auto choose = [&](std::vector<float> logits) {
    tap.logits = std::move(logits);
    run(tiny_.blocks[0], rows(1));
    return tap.ids;
  };
  using Ids = std::vector<float>;
  EXPECT_EQ(choose({1, 2, 3, 4, 5, 6, 7, 8}), (Ids{7, 6}));
  EXPECT_EQ(choose({0, 0, 0, 0, 0, 0, 0, 0}), (Ids{0, 1}));
  EXPECT_EQ(tap.weights, (Ids{0.5F, 0.5F}));
  EXPECT_EQ(choose({1, 5, 2, 5, 5, 0, 0, 0}), (Ids{1, 3}));
  EXPECT_EQ(choose({-9, -8, -9, -9, -9, -9, -9, -8}), (Ids{1, 7}));
  EXPECT_EQ(choose({3, 0, 0, 0, 4, 0, 0, 0}), (Ids{4, 0}));
  EXPECT_NEAR(tap.weights[0], 0.7310585786, 1e-7);  // 1 / (1 + e^-1)
  const float nan = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(choose(Ids(8, nan)), (Ids{0, 1}));  // still two different experts
}

// Doubling one expert's down matrix changes exactly the rows that chose it.
TEST_F(Moe, RowsGoToTheirExperts) {
  test::EditedSource source(tiny_.source);
  const std::string down = "blk.1.ffn_down_exps.weight";
  std::vector<std::byte> bytes = source.bytes_of(down);
  std::vector<float> values(bytes.size() / 4);
  std::memcpy(values.data(), bytes.data(), bytes.size());
  for (size_t i = 5 * 64 * 32; i < 6 * 64 * 32; ++i) values[i] *= 2;
  std::memcpy(bytes.data(), values.data(), bytes.size());
  source.set(down, tensor::DType::f32, {8, 64, 32}, bytes);
  WeightBytes owned;
  const BlockWeights changed = bind_block(source, tiny_.config, 1, owned);
  int64_t affected = 0;
  for (int64_t r = 0; r < 40; ++r) {
    const std::vector<float> all = rows(40);
    const std::vector<float> x(all.begin() + r * 64, all.begin() + (r + 1) * 64);
    Choice tap;
    const bool differs = run(changed, x) != run(tiny_.blocks[1], x);
    tap.logits.clear();
    context_.tap = &tap;
    run(tiny_.blocks[1], x);
    context_.tap = nullptr;
    const bool chosen = std::find(tap.ids.begin(), tap.ids.end(), 5.0F) != tap.ids.end();
    EXPECT_EQ(differs, chosen) << r;
    affected += chosen;
  }
  EXPECT_GT(affected, 0);
  EXPECT_LT(affected, 40);
}

// The routed pass and one in which every expert sees every row give the same output; the second
// shows the tap, for the rows that an expert serves, what the first one did.
class Inputs : public Tap {
 public:
  explicit Inputs(bool all) : all_(all) {}
  bool wants_all_experts() const override { return all_; }
  void linear_input(const LinearInput& input) override {
    if (input.expert < 0) return;
    EXPECT_EQ(input.gate_weights.empty(), all_);
    for (int64_t r = 0; r < input.count; ++r) {
      const float* row = input.rows + r * input.ld;
      const RowOrigin& origin = input.origins[static_cast<size_t>(r)];
      seen[{std::string(input.weight), input.expert, origin.position}].assign(row,
                                                                              row + input.cols);
    }
  }
  void expert_output(const ExpertOutput& output) override { outputs += output.count; }
  std::map<std::tuple<std::string, int64_t, int64_t>, std::vector<float>> seen;
  int64_t outputs = 0;

 private:
  bool all_;
};

TEST_F(Moe, AllExpertsSeeEveryRowAndTheOutputStays) {
  Inputs routed(false), all(true);
  const std::vector<float> x = rows(30), plain = run(tiny_.blocks[1], x);
  context_.tap = &routed;
  EXPECT_EQ(run(tiny_.blocks[1], x), plain);
  context_.tap = &all;
  EXPECT_EQ(run(tiny_.blocks[1], x), plain);
  EXPECT_EQ(routed.seen.size(), 3u * 30 * 2);
  EXPECT_EQ(all.seen.size(), 3u * 30 * 8);
  EXPECT_EQ(routed.outputs, 30 * 2);
  EXPECT_EQ(all.outputs, 30 * 2);
  for (const auto& [place, row] : routed.seen) EXPECT_EQ(all.seen.at(place), row);
}

// With a tap the experts' inputs are floats that products quantize, without one they are quantized
// while they are gathered and gated: the same bits.
TEST_F(Moe, QuantizedInputsDoNotDependOnAnObserver) {
  test::EditedSource source(tiny_.source);
  for (const char* name :
       {"blk.2.ffn_gate_exps.weight", "blk.2.ffn_up_exps.weight", "blk.2.ffn_down_exps.weight",
        "blk.2.ffn_down_shexp.weight", "blk.2.ffn_gate_shexp.weight"}) {
    const tensor::TensorInfo info = tiny_.source.at(name);
    const std::vector<std::byte> bytes = source.bytes_of(name);
    std::vector<float> values(bytes.size() / sizeof(float));
    std::memcpy(values.data(), bytes.data(), bytes.size());
    std::vector<std::byte> stored(static_cast<size_t>(
        info.shape.rows() * tensor::row_bytes(tensor::DType::q8_0, info.shape.cols())));
    codec::codec_for(tensor::DType::q8_0).encode_row(values, {}, stored);
    source.set(name, tensor::DType::q8_0, info.shape, stored);
  }
  WeightBytes bytes(Layout::panels);
  const BlockWeights weights = bind_block(source, tiny_.config, 2, bytes);
  ASSERT_EQ(weights.moe.down.layout, Layout::panels);
  context_.options.activations = Activations::q8;
  const std::vector<float> alone = run(weights, rows(45));
  Tap tap;
  context_.tap = &tap;
  EXPECT_EQ(run(weights, rows(45)), alone);
}

}  // namespace
}  // namespace karat::model
