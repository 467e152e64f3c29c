#include "recipe/gains.h"

#include <gtest/gtest.h>

#include <cmath>

#include "model/open.h"
#include "support/checkpoint.h"
#include "support/files.h"

namespace karat::recipe {
namespace {

TEST(FitExponent, FindsTheLinkThatMadeTheNumbers) {
  const std::vector<double> costs = {1e-4, 3e-4, 2e-5};
  for (const double exponent : {0.5, 0.7, 1.0}) {
    std::vector<std::vector<double>> parts;
    std::vector<double> whole;
    for (const double amplitude : {1.0, 5.0}) {
      double sum = 0;
      parts.emplace_back();
      for (const double cost : costs) {
        sum += cost * amplitude;
        parts.back().push_back(std::pow(cost * amplitude, exponent));
      }
      whole.push_back(std::pow(sum, exponent));
    }
    EXPECT_NEAR(fit_exponent(parts, whole), exponent, 0.006);
  }
  // Together worse than apart: nothing concave explains it.
  EXPECT_EQ(fit_exponent({{1, 1}}, {3}), 1);
}

TEST(KindOf, IsTheNameWithoutItsBlock) {
  EXPECT_EQ(kind_of("blk.12.ffn_down_exps.weight"), "ffn_down_exps");
  EXPECT_EQ(kind_of("output.weight"), "output");
  EXPECT_EQ(kind_of("blk.3.nextn.eh_proj.weight"), "nextn.eh_proj");
}

class GainsTest : public testing::Test {
 protected:
  GainsTest() {
    for (size_t i = 0; i < opened_.source->tensors().size(); ++i) {
      const std::string& name = opened_.source->tensors()[i].name;
      const bool wanted = kind_of(name) == "ffn_down_exps" || kind_of(name) == "output" ||
                          kind_of(name) == "token_embd";
      if (!wanted) continue;
      tensors_.push_back(i);
      noise_[name] = 1;
    }
    text_.n_ctx = 16, text_.count = 2;
    for (int i = 0; i < 32; ++i) text_.tokens.push_back(i * 11 % 480);
  }
  Gains gains(const PlanCache& cache, int threads) {
    base::ThreadPool pool(threads);
    return measure_gains(*opened_.source, opened_.config,
                         make_sites(*opened_.source, opened_.config, tensors_, 4), noise_, text_,
                         "m", {{0.1}, 5}, cache, pool);
  }
  model::OpenedModel opened_ = model::open_model(test::kTinyCheckpoint);
  std::vector<size_t> tensors_;
  std::map<std::string, double> noise_;
  ProbeText text_;
};

TEST_F(GainsTest, SitesAreOneOfAKindAndMoreOfTheLargest) {
  EXPECT_EQ(make_sites(*opened_.source, opened_.config, tensors_, 0).size(), 3u);
  const std::vector<Site> sites = make_sites(*opened_.source, opened_.config, tensors_, 4);
  ASSERT_EQ(sites.size(), 4u);  // the trunk's four layers, in two sites
  EXPECT_EQ(sites[0].tensors,
            (std::vector<std::string>{"blk.0.ffn_down_exps.weight", "blk.1.ffn_down_exps.weight"}));
  EXPECT_EQ(sites[1].first_layer, 2);
  EXPECT_EQ(sites[2].first_layer, opened_.config.layers());
  EXPECT_EQ(sites[3].first_layer, -1);
  EXPECT_EQ(make_sites(*opened_.source, opened_.config, tensors_, 99).size(), 6u);
}

TEST_F(GainsTest, DependOnNeitherThreadsNorTheCacheAndHalveWithTwiceTheNoise) {
  const test::TempDir folder;
  const PlanCache cache(folder.path("cache"));
  const Gains first = gains(cache, 1);
  EXPECT_EQ(first.of.size(), 6u);
  for (const auto& [name, gain] : first.of) EXPECT_GT(gain, 0) << name;
  EXPECT_EQ(gains(cache, 2).of, first.of);
  EXPECT_EQ(gains(PlanCache(""), 3).of, first.of);
  noise_["output.weight"] = 2;
  EXPECT_NEAR(gains(cache, 1).of.at("output.weight"), first.of.at("output.weight") / 2, 1e-12);
}

}  // namespace
}  // namespace karat::recipe
