#include "recipe/plan.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "calib/importance.h"
#include "exec/resident.h"
#include "model/open.h"
#include "support/checkpoint.h"
#include "support/files.h"

namespace karat::recipe {
namespace {

// The tiny model, its importance from a text of numbers, and a planner of the least effort.
class PlannerTest : public testing::Test {
 protected:
  static constexpr int64_t kTokens = 1024;

  PlannerTest() {
    calib::Corpus corpus;
    corpus.chunk_size = 256, corpus.chunks = kTokens / 256;
    for (int64_t i = 0; i < kTokens; ++i) {
      corpus.tokens.push_back(static_cast<int32_t>((i * 37 + i * i % 11) % 480));
    }
    base::ThreadPool pool(2);
    const exec::ResidentModel model(*opened_.source, opened_.config, true);
    importance_ = calib::calibrate(model, corpus, {}, pool);
    text_.tokens = corpus.tokens;
    text_.ends = corpus.all_ends();
    text_.domains.assign(text_.ends.size(), 0);
  }

  Planner planner(const PlanCache& cache, int threads, const std::string& effort = "fast") {
    base::ThreadPool pool(threads);
    return Planner({*opened_.source, opened_.config, importance_, nullptr, text_, "stats"}, policy_,
                   effort_named(effort), 0, 32, cache, pool);
  }

  model::OpenedModel opened_ = model::open_model(test::kTinyCheckpoint);
  tensor::Importance importance_;
  calib::Packet text_;
  Policy policy_ = default_policy();
};

TEST_F(PlannerTest, FillsEveryBudgetOfItsRangeAndCostsLessWithMore) {
  const Planner planner = this->planner(PlanCache(""), 2);
  const uint64_t least = planner.bytes_min(), most = planner.bytes_max();
  double before = -1;
  for (int i = 0; i <= 8; ++i) {
    const uint64_t budget = least + (most - least) * static_cast<uint64_t>(i) / 8;
    const Plan plan = planner.solve(budget);
    EXPECT_LE(plan.data_bytes, budget);
    EXPECT_GE(static_cast<double>(plan.data_bytes), 0.999 * static_cast<double>(budget)) << i;
    EXPECT_TRUE(i == 0 || plan.cost() < before) << i;
    before = plan.cost();
  }
  EXPECT_EQ(planner.solve(most).cost(), 0);  // all BF16
}

TEST_F(PlannerTest, IsTheSameForAnyThreadsAndFromTheCache) {
  const test::TempDir folder;
  const PlanCache cache(folder.path("cache"));
  const Planner first = planner(cache, 1);
  const uint64_t budget = (first.bytes_min() + first.bytes_max()) / 2;
  const std::string text = plan_json(first.solve(budget)).dump();
  EXPECT_EQ(plan_json(planner(cache, 2).solve(budget)).dump(), text);
  EXPECT_EQ(plan_json(planner(PlanCache(""), 3).solve(budget)).dump(), text);
}

TEST_F(PlannerTest, GroupsAndFixedTypesHold) {
  policy_ = parse_policy(
      "schema = 1\n[[group]]\nmatch = \"ffn_(gate|up)_exps\"\n"
      "[[rule]]\nmatch = \"output\"\ntype = \"Q5_1\"\n",
      "r");
  const Planner planner = this->planner(PlanCache(""), 2);
  const Plan plan = planner.solve((planner.bytes_min() + planner.bytes_max()) / 2);
  std::map<std::string, PlannedTensor> by_name;
  for (const PlannedTensor& tensor : plan.tensors) by_name[tensor.name] = tensor;
  for (int layer = 0; layer < 4; ++layer) {
    const std::string block = "blk." + std::to_string(layer);
    EXPECT_EQ(by_name[block + ".ffn_gate_exps.weight"].type,
              by_name[block + ".ffn_up_exps.weight"].type);
  }
  EXPECT_EQ(by_name["output.weight"].type, tensor::DType::q5_1);
  EXPECT_EQ(by_name["output.weight"].decided_by, "recipe");
  EXPECT_EQ(by_name["blk.0.attn_norm.weight"].decided_by, "kept");
}

TEST(Efforts, AreThree) {
  EXPECT_EQ(effort_names(), (std::vector<std::string>{"fast", "balanced", "best"}));
  EXPECT_THROW(effort_named("lazy"), base::Error);
}

}  // namespace
}  // namespace karat::recipe
