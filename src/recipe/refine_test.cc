#include "recipe/refine.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "calib/importance.h"
#include "exec/resident.h"
#include "model/open.h"
#include "support/checkpoint.h"
#include "support/files.h"

namespace karat::recipe {
namespace {

TEST(FactorsOf, TrustWhatIsMeasuredWell) {
  // Foretold -2: an error of 0.2 is a tenth, to be trusted by 25/26; one of 2 is the whole.
  EXPECT_NEAR(factors_of({-3}, {-2}, 0.2)[0], 1 + 0.5 * 25 / 26, 1e-12);
  EXPECT_NEAR(factors_of({-3}, {-2}, 2)[0], 1 + 0.5 * 0.25 / 1.25, 1e-12);
  EXPECT_EQ(factors_of({-100, 3, 1}, {-2, -2, 0}, 0.01), (std::vector<double>{4, 0.25, 1}));
}

TEST(Refine, TakesTheBetterPlanOfTheSameSizeAndGoesOnFromItsCache) {
  const model::OpenedModel opened = model::open_model(test::kTinyCheckpoint);
  calib::Packet text;
  for (int64_t i = 0; i < 6 * 512; ++i) {
    text.tokens.push_back(static_cast<int32_t>((i * 37 + i * i % 11) % 480));
  }
  text.ends = {6 * 512};
  calib::Corpus corpus{.tokens = text.tokens, .chunk_size = 512, .chunks = 2};
  base::ThreadPool pool(2);
  const exec::ResidentModel model(*opened.source, opened.config, false);
  const tensor::Importance importance = calib::calibrate(model, corpus, {}, pool);
  const test::TempDir folder;
  const PlanCache cache(folder.path("cache"));
  const Policy policy = default_policy();
  const Planner planner({*opened.source, opened.config, importance, nullptr, text, "stats"}, policy,
                        effort_named("fast"), 0, 32, cache, pool);
  const uint64_t budget = (planner.bytes_min() + planner.bytes_max()) / 3;
  const Plan plan = planner.solve(budget);
  const RefineOptions options{.skip = 2, .design_windows = 1, .test_windows = 3};
  const Refinement found = refine(planner, plan, budget, options, cache, pool);
  EXPECT_EQ(found.runs, 64);
  EXPECT_LE(found.plan.data_bytes, budget);
  EXPECT_GE(static_cast<double>(found.plan.data_bytes), 0.999 * static_cast<double>(budget));
  EXPECT_EQ(found.accepted, found.changed > 0 && found.high < 0);
  EXPECT_EQ(plan_json(found.plan).dump() != plan_json(plan).dump(), found.accepted);
  for (const auto& file : std::filesystem::directory_iterator(folder.path("cache"))) {
    EXPECT_EQ(file.path().extension(), ".json");
  }
  // Other threads, from the cache and without: the same.
  base::ThreadPool one(1);
  const Refinement again = refine(planner, plan, budget, options, cache, one);
  EXPECT_EQ(plan_json(again.plan).dump(), plan_json(found.plan).dump());
  EXPECT_EQ(again.after, found.after);
}

}  // namespace
}  // namespace karat::recipe
