#include <gtest/gtest.h>

#include <cmath>
#include <string>

#include "kernels/dispatch.h"
#include "model/forward.h"
#include "support/golden.h"

namespace karat::model {
namespace {

using golden::Goldens;
using golden::to_float;

// tests/fixtures/README.md, "MTP": numpy in float32 is 1.8e-5 away.
constexpr double kMax = 2e-5;

void expect_near(const std::vector<float>& seen, const std::vector<double>& golden,
                 const std::string& what) {
  ASSERT_EQ(seen.size(), golden.size()) << what;
  double worst = 0;
  for (size_t i = 0; i < seen.size(); ++i) {
    worst = std::max(worst, std::fabs(static_cast<double>(seen[i]) - golden[i]));
  }
  EXPECT_LE(worst, kMax) << what;
  testing::Test::RecordProperty(what, std::to_string(worst));
}

class Mtp : public testing::TestWithParam<const kernels::KernelTable*> {
 protected:
  const golden::Tiny tiny_;
  base::ThreadPool pool_{2};
  ForwardContext context_{tiny_.config, pool_, *GetParam()};
  size_t hidden_ = static_cast<size_t>(tiny_.config.hidden);
  SequenceState state_{tiny_.config};

  std::vector<float> forward(const std::vector<int32_t>& tokens, const std::vector<float>& hidden) {
    const Segment segment{0, static_cast<int64_t>(tokens.size()), &state_};
    std::vector<float> out(hidden.size());
    forward_mtp(context_, tiny_.mtp, tiny_.head, {&segment, 1}, tokens, hidden.data(), out.data());
    return out;
  }
  std::vector<float> logits(const std::vector<float>& rows) {
    const auto count = rows.size() / hidden_;
    std::vector<float> out(count * static_cast<size_t>(tiny_.config.vocab));
    model::logits(context_, tiny_.head, rows.data(), static_cast<int64_t>(count), {}, out.data());
    return out;
  }
  // Prompt and three drafting steps from rows of (token, hidden), in two pieces.
  void run(const Goldens& goldens, const std::string& prefix, const std::vector<int32_t>& tokens,
           const std::vector<float>& hidden, const std::vector<float>& next_hidden) {
    state_ = SequenceState(tiny_.config);
    const auto cut = static_cast<int64_t>(tokens.size() / 2);
    std::vector<float> rows = forward({tokens.begin(), tokens.begin() + cut},
                                      {hidden.begin(), hidden.begin() + cut * tiny_.config.hidden});
    const std::vector<float> rest =
        forward({tokens.begin() + cut, tokens.end()},
                {hidden.begin() + cut * tiny_.config.hidden, hidden.end()});
    rows.insert(rows.end(), rest.begin(), rest.end());
    expect_near(rows, goldens.get(prefix + "prompt.hidden"), prefix + "prompt.hidden");
    expect_near(logits(rows), goldens.get(prefix + "prompt.logits"), prefix + "prompt.logits");
    const std::vector<int32_t> drafts = goldens.ids(prefix + "step_tokens");
    std::vector<float> previous = next_hidden;
    for (size_t step = 0; step < 3; ++step) {
      previous = forward({drafts[step]}, previous);
      const std::string name = prefix + "step" + std::to_string(step);
      expect_near(previous, goldens.get(name + ".hidden"), name);
      const std::vector<float> row = logits(previous);
      expect_near(row, goldens.get(name + ".logits"), name + ".logits");
      EXPECT_EQ(std::max_element(row.begin(), row.end()) - row.begin(), drafts[step + 1]) << name;
    }
    const AttentionState& cache = state_.block(tiny_.config.layers()).attention;
    expect_near(cache.k.values(), goldens.get(prefix + "k_cache"), prefix + "k_cache");
    expect_near(cache.v.values(), goldens.get(prefix + "v_cache"), prefix + "v_cache");
  }
};

// Convention a: row p is (token p, hidden p - 1), the first with a zero hidden row.
// Convention b: row p is (token p + 1, hidden p).
TEST_P(Mtp, BothConventionsMatchTheGoldens) {
  const Goldens goldens("text/mtp.safetensors");
  for (const std::string sequence : {"seq007", "seq064"}) {
    const std::vector<int32_t> ids = goldens.ids(sequence + ".input_ids");
    const std::vector<float> target = to_float(goldens.get(sequence + ".target_hidden"));
    const auto width = static_cast<int64_t>(hidden_);
    const std::vector<float> last(target.end() - width, target.end());
    std::vector<float> shifted(hidden_);
    shifted.insert(shifted.end(), target.begin(), target.end() - width);
    run(goldens, sequence + ".a.", ids, shifted, last);
    run(goldens, sequence + ".b.", {ids.begin() + 1, ids.end()},
        {target.begin(), target.end() - width}, last);
  }
}

class Inputs : public Tap {
 public:
  void linear_input(const LinearInput& input) override {
    names.emplace_back(input.weight);
    EXPECT_EQ(input.layer, 4);
    ASSERT_EQ(static_cast<int64_t>(input.origins.size()), input.count);
    EXPECT_GE(input.origins.front().position, 3);
    EXPECT_LE(input.origins.back().position, 4);
    EXPECT_EQ(input.cols == 128, input.weight == "blk.4.nextn.eh_proj.weight" ||
                                     input.weight == "blk.4.attn_output.weight");
  }
  std::vector<std::string> names;
};

TEST_P(Mtp, TapSeesTheBlockWithItsOwnPositions) {
  forward({1, 2, 3}, std::vector<float>(3 * hidden_, 0.5F));
  Inputs inputs;
  context_.tap = &inputs;
  forward({4, 5}, std::vector<float>(2 * hidden_, 0.25F));
  ASSERT_FALSE(inputs.names.empty());
  EXPECT_EQ(inputs.names.front(), "blk.4.nextn.eh_proj.weight");
  EXPECT_NE(std::find(inputs.names.begin(), inputs.names.end(), "blk.4.ffn_down_exps.weight"),
            inputs.names.end());
}

INSTANTIATE_TEST_SUITE_P(Isas, Mtp,
                         testing::ValuesIn(kernels::supported_tables().begin(),
                                           kernels::supported_tables().end()),
                         [](const auto& isa) { return std::string(isa.param->name); });

}  // namespace
}  // namespace karat::model
