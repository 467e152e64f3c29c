#include "exec/resident.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <string>

#include "exec/memory_plan.h"
#include "kernels/dispatch.h"
#include "model/names.h"
#include "model/open.h"
#include "support/golden.h"

namespace karat::exec {
namespace {

using golden::Goldens;
using model::SequenceState;

// Tolerances of tests/fixtures/README.md, "Text goldens and tolerances": a few times the distance
// of two other float32 implementations from float64.
// Keys, values and convolution windows are linear images of hidden rows and share their tolerance.
constexpr double kLogitsMax = 2e-4, kLogitsRms = 2e-5, kHiddenMax = 1e-4, kRecurrentMax = 2e-5;

// The tiny model's own tests read the GGUF once.
const ResidentModel& tiny() {
  static const ResidentModel model = [] {
    const format::GgufSource source(golden::fixture("goldens/gguf/tiny-f32.gguf"));
    return ResidentModel(source, model::config_from_gguf(source.metadata(), "tiny"), true);
  }();
  return model;
}

void expect_near(const std::vector<float>& seen, const std::vector<double>& golden, double max,
                 const std::string& what, double rms = 1) {
  ASSERT_EQ(seen.size(), golden.size()) << what;
  double worst = 0, sum = 0;
  for (size_t i = 0; i < seen.size(); ++i) {
    const double error = std::fabs(static_cast<double>(seen[i]) - golden[i]);
    worst = std::max(worst, error);
    sum += error * error;
    ASSERT_FALSE(std::isnan(seen[i])) << what;
  }
  EXPECT_LE(worst, max) << what;
  EXPECT_LE(std::sqrt(sum / static_cast<double>(seen.size())), rms) << what;
  testing::Test::RecordProperty(what + ".max", std::to_string(worst));
}

// Runs one sequence in the given pieces and returns its logits.
struct Timeline {
  model::ForwardContext context;
  const ResidentModel& model = tiny();
  SequenceState state{model.config()};
  std::vector<float> hidden = {}, logits = {};

  void feed(const std::vector<int32_t>& ids, const std::vector<int64_t>& pieces) {
    const auto width = static_cast<size_t>(model.config().hidden);
    for (const int64_t rows : pieces) {
      const auto first = hidden.size() / width;
      const std::span<const int32_t> tokens(ids.data() + first, static_cast<size_t>(rows));
      const model::Segment segment{0, rows, &state};
      hidden.resize(hidden.size() + tokens.size() * width);
      model.forward(context, {&segment, 1}, tokens, hidden.data() + first * width);
    }
    std::vector<model::RowOrigin> origins(hidden.size() / width);
    const auto rows = static_cast<int64_t>(origins.size());
    logits.resize(origins.size() * static_cast<size_t>(model.config().vocab));
    model::logits(context, model.head(), hidden.data(), rows, origins, logits.data());
  }
};

std::vector<int64_t> singles(int64_t n) { return std::vector<int64_t>(static_cast<size_t>(n), 1); }

std::vector<int64_t> joined(std::vector<int64_t> a, const std::vector<int64_t>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

class Isas : public testing::TestWithParam<const kernels::KernelTable*> {
 protected:
  base::ThreadPool pool_{2};
  model::ForwardContext context_{tiny().config(), pool_, *GetParam()};
};

// Hidden rows after each layer, and the experts chosen in it.
class LayerTap : public model::Tap {
 public:
  bool wants_stages() const override { return true; }
  void stage(const model::Stage& stage) override {
    if (stage.name != "out" && stage.name != "moe.topk_ids") return;
    auto& kept = stage.name == "out" ? out[stage.layer] : chosen[stage.layer];
    kept.assign(stage.values, stage.values + stage.rows * stage.cols);
  }
  std::map<int64_t, std::vector<float>> out, chosen;
};

TEST_P(Isas, PrefillMatchesTheGoldens) {
  for (const std::string name : {"seq007", "seq064", "seq200"}) {
    const Goldens goldens("text/" + name + ".safetensors");
    const std::vector<int32_t> ids = goldens.ids("input_ids");
    for (const auto rule : {model::DeltaRule::recurrent, model::DeltaRule::chunked}) {
      LayerTap tap;
      context_.tap = &tap;
      context_.options.delta_rule = rule;
      Timeline run{context_};
      run.feed(ids, {static_cast<int64_t>(ids.size())});
      const bool chunked = rule == model::DeltaRule::chunked;
      expect_near(run.logits, goldens.get("logits.f64"), kLogitsMax,
                  name + (chunked ? ".chunked.logits" : ".logits"), kLogitsRms);
      expect_near(run.hidden, goldens.get("final_norm.f64"), kHiddenMax, name + ".final_norm");
      for (auto& [layer, rows] : tap.out) {
        const std::string key = "hidden." + std::to_string(layer);
        expect_near(rows, goldens.get(key + ".f64"), kHiddenMax, name + "." + key);
        std::vector<float>& chosen = tap.chosen[layer];  // the goldens' are sorted by id
        const auto used = tiny().config().experts_used;
        for (auto at = chosen.begin(); at != chosen.end(); at += used) std::sort(at, at + used);
        const std::string router = "router." + std::to_string(layer) + ".topk_ids.f64";
        EXPECT_EQ(chosen, golden::to_float(goldens.get(router))) << name;
      }
    }
  }
}

TEST_P(Isas, DecodeWithStateMatchesTheGoldens) {
  const Goldens decode("text/decode.safetensors");
  const auto check = [&](const std::string& name, const std::string& sequence,
                         const std::vector<int64_t>& pieces) {
    Timeline run{context_};
    run.feed(Goldens("text/" + sequence + ".safetensors").ids("input_ids"), pieces);
    expect_near(run.logits, decode.get(name + ".logits.f64"), kLogitsMax, name, kLogitsRms);
  };
  check("decode064", "seq064", singles(64));
  check("mixed200", "seq200", joined({90, 60}, singles(50)));
  check("pieces200", "seq200", {1, 2, 3, 58, 64, 65, 7});
}

TEST_P(Isas, StatesMatchTheGoldens) {
  const Goldens decode("text/decode.safetensors");
  const model::Config& config = tiny().config();
  const auto check = [&](const std::string& name, const std::string& sequence,
                         const std::vector<int64_t>& pieces, bool cache) {
    Timeline run{context_};
    run.feed(Goldens("text/" + sequence + ".safetensors").ids("input_ids"), pieces);
    for (const int64_t layer : {0, 1, 2}) {
      const model::DeltaState& state = run.state.block(layer).delta;
      const std::string key = name + ".l" + std::to_string(layer);
      const auto conv = golden::tile_heads(config, decode.get(key + ".conv_state3.f64"),
                                           2 * config.key_width(), config.value_dim);
      const auto recurrent = golden::tile_heads(config, decode.get(key + ".recurrent_state.f64"), 0,
                                                config.key_dim * config.value_dim);
      expect_near(state.conv, conv, kHiddenMax, key + ".conv");
      expect_near(state.recurrent, recurrent, kRecurrentMax, key + ".recurrent");
    }
    if (!cache) return;
    expect_near(run.state.block(3).attention.k.values(), decode.get(name + ".l3.k.f64"), kHiddenMax,
                name + ".k");
    expect_near(run.state.block(3).attention.v.values(), decode.get(name + ".l3.v.f64"), kHiddenMax,
                name + ".v");
  };
  check("decode064.after20", "seq064", singles(20), true);
  check("decode064.after64", "seq064", singles(64), true);
  check("mixed200.after200", "seq200", joined({90, 60}, singles(50)), false);
}

INSTANTIATE_TEST_SUITE_P(All, Isas,
                         testing::ValuesIn(kernels::supported_tables().begin(),
                                           kernels::supported_tables().end()),
                         [](const auto& isa) { return std::string(isa.param->name); });

// Bit identity. The yardstick is one call, one thread, the preferred instruction set.
class Identity : public testing::Test {
 protected:
  static constexpr int64_t kTokens = 150;

  Identity() : ids_(Goldens("text/seq200.safetensors").ids("input_ids")) {
    yardstick_.feed(ids_, {kTokens});
  }
  void expect_same(const Timeline& run, const std::string& what) const {
    EXPECT_EQ(run.hidden, yardstick_.hidden) << what;
    EXPECT_EQ(run.logits, yardstick_.logits) << what;
    expect_same_state(run.state, what);
  }
  void expect_same_state(const SequenceState& state, const std::string& what) const {
    for (int64_t b = 0; b < state.blocks(); ++b) {
      const model::BlockState& expected = yardstick_.state.block(b);
      EXPECT_EQ(state.block(b).delta.recurrent, expected.delta.recurrent) << what;
      EXPECT_EQ(state.block(b).delta.conv, expected.delta.conv) << what;
      EXPECT_TRUE(state.block(b).attention.k == expected.attention.k) << what;
      EXPECT_TRUE(state.block(b).attention.v == expected.attention.v) << what;
    }
  }

  base::ThreadPool one_{1};
  model::ForwardContext context_{tiny().config(), one_, kernels::table()};
  std::vector<int32_t> ids_;
  Timeline yardstick_{context_};
};

// Two blocks' experts at a time, read over and over.
TEST_F(Identity, ExpertsThatComeAndGo) {
  const format::GgufSource source(golden::fixture("goldens/gguf/tiny-f32.gguf"));
  const model::Config config = model::config_from_gguf(source.metadata(), "tiny");
  base::ThreadPool pool(3);
  const uint64_t all = weight_shares(source, config).experts;
  const ResidentModel model(source, config, true, model::Layout::rows, pool,
                            all * 2 / static_cast<uint64_t>(config.blocks()) + 4096);
  ASSERT_NE(model.experts(), nullptr);
  EXPECT_LT(model.experts()->capacity(), model.experts()->experts());
  Timeline run{context_, model};
  run.feed(ids_, {1, 60, kTokens - 61});
  expect_same(run, "experts that come and go");
  const ExpertCache::Counts counts = model.experts()->counts();
  EXPECT_GT(counts.read, static_cast<uint64_t>(model.experts()->capacity()));
  EXPECT_LE(counts.missed, counts.asked);
  EXPECT_GT(counts.bytes, 0u);
}

TEST_F(Identity, ForThreadsAndInstructionSets) {
  for (const int threads : {1, 2, 7}) {
    base::ThreadPool pool(threads);
    for (const kernels::KernelTable* table : kernels::supported_tables()) {
      Timeline run{{tiny().config(), pool, *table}};
      run.feed(ids_, {kTokens});
      expect_same(run, std::string(table->name) + ", threads " + std::to_string(threads));
    }
  }
}

TEST_F(Identity, ForAnySplit) {
  const std::vector<std::vector<int64_t>> splits = {singles(kTokens), {1, 149},     {149, 1},
                                                    {2, 3, 145},      {64, 64, 22}, {0, 75, 0, 75}};
  for (const kernels::KernelTable* table : kernels::supported_tables()) {
    for (const std::vector<int64_t>& pieces : splits) {
      Timeline run{{tiny().config(), one_, *table}};
      run.feed(ids_, pieces);
      expect_same(run, std::string(table->name) + ", " + std::to_string(pieces.size()) + " pieces");
    }
  }
}

// Other sequences in the batch, before and after, of any length, change nothing.
TEST_F(Identity, ForAnyBatchComposition) {
  base::ThreadPool pool(3);
  const model::ForwardContext context{tiny().config(), pool, kernels::table()};
  const auto width = static_cast<size_t>(tiny().config().hidden);
  SequenceState state(tiny().config()), other(tiny().config()), third(tiny().config());
  std::vector<float> hidden;
  int64_t done = 0;
  for (const int64_t rows : {40, 1, 0, 109}) {
    const int64_t before = done % 7, after = rows / 2;
    const model::Segment segments[] = {{7, before, &other}, {3, rows, &state}, {5, after, &third}};
    std::vector<int32_t> tokens(static_cast<size_t>(before), 17);
    tokens.insert(tokens.end(), ids_.begin() + done, ids_.begin() + done + rows);
    tokens.insert(tokens.end(), ids_.begin(), ids_.begin() + after);
    std::vector<float> out(tokens.size() * width);
    tiny().forward(context, segments, tokens, out.data());
    const auto own = out.begin() + before * static_cast<int64_t>(width);
    hidden.insert(hidden.end(), own, own + rows * static_cast<int64_t>(width));
    done += rows;
  }
  ASSERT_EQ(done, kTokens);
  EXPECT_EQ(hidden, yardstick_.hidden);
  expect_same_state(state, "ragged batch");
}

TEST_F(Identity, AfterRollbackAndReplay) {
  Timeline run{context_};
  run.feed(ids_, {60});
  run.state.mark();
  run.feed(ids_, {30});
  std::vector<int32_t> wrong(25, 3);  // a draft that is rejected
  SequenceState& state = run.state;
  std::vector<float> scratch(wrong.size() * static_cast<size_t>(tiny().config().hidden));
  const model::Segment segment{0, 25, &state};
  tiny().forward(context_, {&segment, 1}, wrong, scratch.data());
  EXPECT_EQ(state.length(), 115);
  EXPECT_EQ(state.rollback(90), 60);
  EXPECT_EQ(state.length(), 60);
  run.hidden.resize(60 * static_cast<size_t>(tiny().config().hidden));
  run.feed(ids_, {30, 60});
  expect_same(run, "replay");
}

// The demo model is wide enough for several panels and for loops that are really shared.
TEST(DemoModel, SameBitsForThreadsSplitsAndInstructionSets) {
  const model::OpenedModel opened = model::open_model(std::string(KARAT_ROOT) + "/demo/model");
  const ResidentModel demo(*opened.source, opened.config, false);
  std::vector<int32_t> ids(50);
  for (size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<int32_t>((i * 97 + 13) % 4000);
  base::ThreadPool one(1), seven(7);
  Timeline yardstick{{demo.config(), one, kernels::table()}, demo};
  yardstick.feed(ids, {50});
  for (const kernels::KernelTable* table : kernels::supported_tables()) {
    Timeline run{{demo.config(), seven, *table}, demo};
    run.feed(ids, {1, 34, 15});
    EXPECT_EQ(run.hidden, yardstick.hidden) << table->name;
    EXPECT_EQ(run.logits, yardstick.logits) << table->name;
  }
}

TEST(ResidentModel, KnowsItsSizeAndLeavesMtpOut) {
  const format::GgufSource source(golden::fixture("goldens/gguf/tiny-f32.gguf"));
  const model::Config config = model::config_from_gguf(source.metadata(), "tiny");
  uint64_t trunk = 0, mtp = 0;  // this file has nothing else
  for (const tensor::TensorInfo& info : source.tensors()) {
    (model::layer_of(info.name) == 4 ? mtp : trunk) += static_cast<uint64_t>(info.bytes());
  }
  EXPECT_EQ(weight_shares(source, config).total(false), trunk);
  EXPECT_EQ(weight_shares(source, config).total(true), trunk + mtp);
  EXPECT_EQ(ResidentModel(source, config, false).mtp(), nullptr);
  EXPECT_NE(tiny().mtp(), nullptr);
}

}  // namespace
}  // namespace karat::exec
