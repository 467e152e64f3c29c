// Every golden stage of the tiny model: each stage is given the golden values of the stages before
// it and must be within the float32 error bound of its own (docs/NUMERICS.md).

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <set>
#include <string>

#include "golden/stage_reference.h"
#include "kernels/dispatch.h"
#include "model/forward.h"

namespace karat::golden {
namespace {

// Compares each stage with the reference and hands the golden values on.
class Feeder : public model::Tap {
 public:
  Feeder(const StageReference& reference, const std::map<std::string, Approx>& expected)
      : reference_(reference), expected_(expected) {}

  bool wants_stages() const override { return true; }
  void stage(const model::Stage& stage) override {
    const std::string key = "l" + std::to_string(stage.layer) + "." + std::string(stage.name);
    std::vector<float> seen;
    for (int64_t r = 0; r < stage.rows; ++r) {
      seen.insert(seen.end(), stage.values + r * stage.ld,
                  stage.values + r * stage.ld + stage.cols);
    }
    compare(key, seen);
    const std::vector<float> golden = to_float(reference_.golden(key));
    ASSERT_EQ(static_cast<int64_t>(golden.size()), stage.rows * stage.cols) << key;
    for (int64_t r = 0; r < stage.rows; ++r) {
      std::copy_n(golden.begin() + r * stage.cols, stage.cols, stage.values + r * stage.ld);
    }
  }

  void compare(const std::string& key, const std::vector<float>& seen) {
    const auto found = expected_.find(key);
    ASSERT_NE(found, expected_.end()) << key;
    const Approx& approx = found->second;
    const std::vector<double> golden = reference_.golden(key);
    ASSERT_EQ(seen.size(), golden.size()) << key;
    ASSERT_EQ(approx.size(), golden.size()) << key;
    double& widest = ratio[key];
    for (size_t i = 0; i < seen.size(); ++i) {
      // the reference itself is right: double noise, and the file's rounded -exp(A_log) and
      // frequencies
      ASSERT_NEAR(approx.v[i], golden[i], approx.e[i] + 1e-12) << key << " reference element " << i;
      const double error = std::fabs(static_cast<double>(seen[i]) - golden[i]);
      ASSERT_LE(error, approx.e[i])
          << key << " element " << i << ": " << seen[i] << " for " << golden[i];
      if (approx.e[i] > 0) widest = std::max(widest, error / approx.e[i]);
    }
  }

  std::map<std::string, double> ratio;  // largest error / bound of each stage

 private:
  const StageReference& reference_;
  const std::map<std::string, Approx>& expected_;
};

class Stages : public testing::TestWithParam<const kernels::KernelTable*> {};

TEST_P(Stages, EveryStageIsWithinItsBound) {
  const Tiny tiny;
  const StageReference reference(tiny);
  base::ThreadPool pool(2);
  std::set<std::string> missing;
  for (const tensor::TensorInfo& info : reference.goldens().arrays()) missing.insert(info.name);
  std::map<std::string, double> tightest;  // by stage name without the layer
  for (int64_t layer = 0; layer < tiny.config.layers(); ++layer) {
    const std::map<std::string, Approx> expected = reference.layer(layer);
    Feeder feeder(reference, expected);
    model::ForwardContext context{tiny.config, pool, *GetParam(), {}, &feeder};
    model::SequenceState state(tiny.config);
    const model::Segment segment{0, StageReference::kTokens, &state};
    std::vector<float> x = to_float(reference.input(layer));
    model::forward_block(context, tiny.blocks[static_cast<size_t>(layer)], {&segment, 1}, x.data());
    const std::string prefix = "l" + std::to_string(layer) + ".";
    if (tiny.config.mixers[static_cast<size_t>(layer)] == model::Mixer::delta_net) {
      feeder.compare(prefix + "gdn.final_state", state.block(layer).delta.recurrent);
      const std::vector<float> fed = to_float(reference.golden(prefix + "gdn.in_proj_qkv"));
      const std::vector<float>& window = state.block(layer).delta.conv;
      EXPECT_TRUE(std::equal(window.begin(), window.end(),
                             fed.end() - static_cast<int64_t>(window.size())));
      missing.erase(prefix + "gdn.conv_state_hf4");
    }
    for (const auto& [key, ratio] : feeder.ratio) {
      missing.erase(key);
      double& best = tightest[key.substr(prefix.size())];
      best = std::max(best, ratio);
    }
    missing.erase(prefix + "attn.cos"), missing.erase(prefix + "attn.sin");  // rope_test
  }
  missing.erase("final_norm"), missing.erase("logits");  // below
  EXPECT_TRUE(missing.empty()) << "no stage was compared with " << *missing.begin();
  for (const auto& [name, ratio] : tightest) {
    RecordProperty(name, std::to_string(ratio));
    if (name == "moe.topk_ids") continue;
    EXPECT_GT(ratio, 0.01) << name
                           << ": a bound of 100 times the largest error would notice nothing";
  }
}

TEST_P(Stages, FinalNormAndLogits) {
  const Tiny tiny;
  const StageReference reference(tiny);
  base::ThreadPool pool(2);
  const model::ForwardContext context{tiny.config, pool, *GetParam()};
  const int64_t rows = StageReference::kTokens, hidden = tiny.config.hidden;
  const Approx x = rounded(reference.golden("l3.out"));
  const Approx normed = rounded(reference.golden("final_norm"));
  std::map<std::string, Approx> expected;
  for (int64_t r = 0; r < rows; ++r) {
    expected["final_norm"].append(
        rms_norm(x.part(r * hidden, hidden), tiny.head.output_norm, tiny.config.rms_eps));
    expected["logits"].append(linear(tiny.head.output, normed.part(r * hidden, hidden)));
  }
  Feeder feeder(reference, expected);
  const std::vector<float> in = to_float(x.v);
  std::vector<float> out(in.size());
  model::final_norm(context, tiny.head, in.data(), rows, out.data());
  feeder.compare("final_norm", out);
  out = to_float(normed.v);
  std::vector<float> logits(static_cast<size_t>(rows * tiny.config.vocab));
  model::logits(context, tiny.head, out.data(), rows, {}, logits.data());
  feeder.compare("logits", logits);
  for (const auto& [name, ratio] : feeder.ratio) EXPECT_GT(ratio, 0.01) << name;
}

INSTANTIATE_TEST_SUITE_P(Isas, Stages,
                         testing::ValuesIn(kernels::supported_tables().begin(),
                                           kernels::supported_tables().end()),
                         [](const auto& isa) { return std::string(isa.param->name); });

}  // namespace
}  // namespace karat::golden
