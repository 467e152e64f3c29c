#include "calib/routing.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numeric>

#include "base/error.h"
#include "base/rng.h"
#include "calib/importance.h"
#include "format/safetensors.h"
#include "model/open.h"
#include "support/files.h"
#include "support/shared.h"

namespace karat::calib {
namespace {

// Rows of logits and gate weights as the router's stages.
void show(RoutingTap& tap, int64_t layer, std::vector<float> logits, std::vector<float> weights,
          int64_t experts, int64_t used) {
  const auto rows = static_cast<int64_t>(logits.size()) / experts;
  tap.stage({"moe.router_logits", layer, logits.data(), rows, experts, experts});
  tap.stage({"moe.topk_weights", layer, weights.data(), rows, used, used});
}

TEST(Routing, CountsMassPairsAndMargins) {
  RoutingTap tap(4, 2);
  show(tap, 3, {1, 5, 2, 4, 0, 9, 9, 9}, {0.75F, 0.25F, 0.5F, 0.5F}, 4, 2);
  show(tap, 3, {8, 0, 0, 7}, {0.625F, 0.375F}, 4, 2);
  const LayerRouting& layer = tap.routing().layers.at(3);
  EXPECT_EQ(layer.rows, 3);
  EXPECT_EQ(layer.counts, (std::vector<int64_t>{1, 2, 1, 2}));  // of equal ones the lower
  EXPECT_EQ(layer.gate_mass, (std::vector<double>{0.625, 1.25, 0.5, 0.625}));
  EXPECT_EQ(layer.together, (std::vector<int32_t>{1, 0, 0, 1,  //
                                                  0, 2, 1, 1,  //
                                                  0, 1, 1, 0,  //
                                                  1, 1, 0, 2}));
  EXPECT_EQ(layer.margin_sum, (4 - 2) + 0 + (7 - 0));
  EXPECT_EQ(layer.margins[0], 1);                    // the tie
  EXPECT_EQ(layer.margins[kMarginBinOfOne + 1], 1);  // 2
  EXPECT_EQ(layer.margins[kMarginBinOfOne + 2], 1);  // 7
  EXPECT_TRUE(layer.cold().empty());
}

// Runs the tiny model with the tap.
Routing of_tiny(int threads, int64_t batch_tokens, int64_t* tokens = nullptr) {
  const model::OpenedModel opened = model::open_model(test::fixture("tiny-random"));
  const exec::ResidentModel model(*opened.source, opened.config, true);
  Corpus corpus;
  base::Rng rng(9);
  for (int i = 0; i < 600; ++i) corpus.tokens.push_back(static_cast<int32_t>(rng.below(500)));
  corpus.ends = {100, 350, 600};
  corpus.chunks = 3;
  base::ThreadPool pool(threads);
  RoutingTap tap(opened.config.experts, opened.config.experts_used);
  calibrate(model, corpus, {.batch_tokens = batch_tokens, .also = {&tap}}, pool);
  if (tokens != nullptr) *tokens = corpus.tokens_used();
  return tap.routing();
}

TEST(Routing, OfAModelAddsUpAndDoesNotDependOnThreadsOrBatches) {
  int64_t tokens = 0;
  const Routing first = of_tiny(1, 4096, &tokens), second = of_tiny(5, 70);
  ASSERT_EQ(first.layers.size(), 5u);  // four blocks and the MTP block
  for (const auto& [number, layer] : first.layers) {
    EXPECT_EQ(layer.rows, number < 4 ? tokens : tokens - 3);
    const int64_t chosen = std::accumulate(layer.counts.begin(), layer.counts.end(), int64_t{0});
    EXPECT_EQ(chosen, layer.rows * first.used);
    // Gate weights of a row add up to 1 but for the rounding of `used` floats.
    const double mass = std::accumulate(layer.gate_mass.begin(), layer.gate_mass.end(), 0.0);
    EXPECT_NEAR(mass, static_cast<double>(layer.rows), static_cast<double>(layer.rows) * 0x1p-22);
    for (int64_t a = 0; a < first.experts; ++a) {
      for (int64_t b = 0; b < first.experts; ++b) {
        const auto at = [&](int64_t i, int64_t j) {
          return layer.together[static_cast<size_t>(i * first.experts + j)];
        };
        EXPECT_EQ(at(a, b), at(b, a));
        EXPECT_TRUE(a != b || at(a, a) == layer.counts[static_cast<size_t>(a)]);
      }
    }
    const LayerRouting& other = second.layers.at(number);
    EXPECT_EQ(layer.counts, other.counts);
    EXPECT_EQ(layer.gate_mass, other.gate_mass);
    EXPECT_EQ(layer.together, other.together);
    EXPECT_EQ(layer.margin_sum, other.margin_sum);
    EXPECT_EQ(layer.margins, other.margins);
  }
}

// The counts are those of the importance statistics, which see the rows themselves.
TEST(Routing, CountsAreTheRowsThatExpertsSee) {
  const model::OpenedModel opened = model::open_model(test::fixture("tiny-random"));
  const exec::ResidentModel model(*opened.source, opened.config, false);
  Corpus corpus;
  for (int i = 0; i < 300; ++i) corpus.tokens.push_back(i * 37 % 500);
  corpus.chunk_size = 100;
  corpus.chunks = 3;
  base::ThreadPool pool(2);
  RoutingTap tap(opened.config.experts, opened.config.experts_used);
  const auto importance = calibrate(model, corpus, {.also = {&tap}}, pool);
  for (const auto& [number, layer] : tap.routing().layers) {
    const std::string name = "blk." + std::to_string(number) + ".ffn_down_exps.weight";
    EXPECT_EQ(layer.counts, importance.entries.at(name).counts) << name;
  }
}

TEST(Routing, TheFileHasItAll) {
  const test::TempDir folder;
  const Routing routing = of_tiny(1, 4096);
  write_routing(folder.path("r.safetensors"), routing);
  const format::SafetensorsSource file(folder.path("r.safetensors"));
  EXPECT_EQ(file.metadata().at("experts_used"), std::to_string(routing.used));
  const tensor::TensorInfo& info = file.at("gate_mass");
  EXPECT_EQ(info.dtype, tensor::DType::f64);
  std::vector<double> mass(static_cast<size_t>(info.shape.elements()));
  file.read(info, std::as_writable_bytes(std::span(mass)));
  const auto experts = static_cast<size_t>(routing.experts);
  EXPECT_EQ(std::vector<double>(mass.begin() + 8, mass.begin() + 16),
            routing.layers.at(1).gate_mass);
  EXPECT_EQ(file.at("together").shape.elements(), static_cast<int64_t>(5 * experts * experts));
  EXPECT_EQ(file.at("margins").shape.elements(), 5 * kMarginBins);
}

TEST(Routing, IsTakenUpWhereItWasKept) {
  const test::TempDir folder;
  StreamCheckpoint checkpoint(folder.path("out"), {{"run", "1"}});
  RoutingTap whole(4, 2), first(4, 2), second(4, 2);
  show(whole, 0, {1, 5, 2, 4}, {0.75F, 0.25F}, 4, 2);
  show(whole, 1, {1, 2, 3, 7}, {0.5F, 0.5F}, 4, 2);
  show(first, 0, {1, 5, 2, 4}, {0.75F, 0.25F}, 4, 2);
  std::vector<float> rows = {1, 2};
  checkpoint.save(1, std::vector<const KeptTap*>{&first}, rows);
  ASSERT_EQ(checkpoint.take_up(std::vector<KeptTap*>{&second}, rows, false), 1);
  show(second, 1, {1, 2, 3, 7}, {0.5F, 0.5F}, 4, 2);
  write_routing(folder.path("a"), whole.routing());
  write_routing(folder.path("b"), second.routing());
  EXPECT_EQ(test::read_bytes(folder.path("a")), test::read_bytes(folder.path("b")));
  // Read back it writes the same.
  write_routing(folder.path("c"), read_routing(folder.path("a")));
  EXPECT_EQ(test::read_bytes(folder.path("c")), test::read_bytes(folder.path("a")));
  // Of another model: not taken up.
  RoutingTap other(5, 2);
  EXPECT_THROW(checkpoint.take_up(std::vector<KeptTap*>{&other}, rows, false), base::Error);
}

TEST(Routing, TextNamesColdExperts) {
  RoutingTap tap(4, 1);
  show(tap, 0, {1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0}, {1, 1, 1, 1}, 4, 1);
  const std::string text = routing_text(tap.routing());
  EXPECT_NE(text.find("   0 fe..\n"), std::string::npos) << text;
  EXPECT_NE(text.find("  block 0: 2 3\n"), std::string::npos) << text;
  show(tap, 1, {0, 0, 0, 1, 0, 0, 1, 0, 0, 1, 0, 0, 1, 0, 0, 0}, {1, 1, 1, 1}, 4, 1);
  EXPECT_NE(routing_text(tap.routing()).find("   1 eeee\n"), std::string::npos);
}

}  // namespace
}  // namespace karat::calib
