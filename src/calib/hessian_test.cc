#include "calib/hessian.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/half.h"
#include "calib/streamed.h"
#include "model/open.h"
#include "support/shared.h"

namespace karat::calib {
namespace {

// Every input of every linear layer, in double after rounding to bf16.
class Recorder : public model::Tap {
 public:
  struct Seen {
    int64_t rows = 0;
    std::vector<double> sum, size;  // [n, n]: of products, and of their magnitudes
  };
  void linear_input(const model::LinearInput& input) override {
    Seen& seen = all[{std::string(input.weight), input.expert}];
    const auto n = static_cast<size_t>(input.cols);
    seen.sum.resize(n * n), seen.size.resize(n * n);
    seen.rows += input.count;
    for (int64_t r = 0; r < input.count; ++r) {
      std::vector<double> x;
      for (size_t c = 0; c < n; ++c) {
        x.push_back(base::bf16_to_f32(
            base::f32_to_bf16(input.rows[r * input.ld + static_cast<int64_t>(c)])));
      }
      for (size_t i = 0; i < n; ++i) {
        for (size_t j = 0; j < n; ++j) {
          seen.sum[i * n + j] += x[i] * x[j];
          seen.size[i * n + j] += std::fabs(x[i] * x[j]);
        }
      }
    }
  }
  std::map<std::pair<std::string, int64_t>, Seen> all;
};

struct Kept {
  std::vector<std::string> weights;
  int64_t layer, expert, columns, rows;
  double shrinkage;
  std::vector<double> values;
  bool operator==(const Kept&) const = default;
};

class Hessians : public testing::Test {
 protected:
  Hessians() {
    corpus_.chunk_size = 40;
    corpus_.ends = {40, 41, 130, 200};
    corpus_.chunks = 4;
    for (int i = 0; i < 200; ++i) corpus_.tokens.push_back((i * i * 7 + 3) % 499);
  }
  std::vector<Kept> run(int64_t batch_tokens, int threads) {
    base::ThreadPool pool(threads);
    std::vector<Kept> out;
    StreamedOptions options{.stream = {.batch_tokens = batch_tokens, .with_mtp = true}};
    options.hessians = [&](const Hessian& h) {
      out.push_back({{h.weights.begin(), h.weights.end()},
                     h.layer,
                     h.expert,
                     h.columns,
                     h.rows,
                     h.shrinkage,
                     {h.values.begin(), h.values.end()}});
    };
    calibrate_streamed(*opened_.source, opened_.config, corpus_, options, pool);
    return out;
  }
  Recorder record() {
    Recorder recorder;
    base::ThreadPool pool(1);
    const std::vector<int64_t> ends = corpus_.all_ends();
    exec::LayerStream stream(*opened_.source, opened_.config, corpus_.tokens, ends,
                             {.with_mtp = true}, pool);
    stream.start();
    while (!stream.done()) stream.run(&recorder, nullptr);
    return recorder;
  }

  model::OpenedModel opened_ = model::open_model(test::fixture("tiny-random"));
  Corpus corpus_;
};

TEST_F(Hessians, AreThoseOfEveryLayerAndExpertInDouble) {
  const Recorder expected = record();
  std::map<std::pair<std::string, int64_t>, int> seen;
  for (const Kept& h : run(64, 2)) {
    const auto n = static_cast<size_t>(h.columns);
    std::vector<double> all(n * n);  // of the whole block
    double all_rows = 0;
    if (h.expert >= 0) {
      const bool down = h.weights[0].find("down") != std::string::npos;
      for (const auto& [key, one] : expected.all) {
        const std::string router = "blk." + std::to_string(h.layer) + ".ffn_gate_inp.weight";
        if (down ? key.first != h.weights[0] : key.first != router) continue;
        for (size_t i = 0; i < n * n; ++i) all[i] += one.sum[i];
        all_rows += static_cast<double>(one.rows);
      }
    }
    for (const std::string& weight : h.weights) {
      ++seen[{weight, h.expert}];
      const auto at = expected.all.find({weight, h.expert});
      const bool cold = at == expected.all.end();
      EXPECT_EQ(cold ? 0 : at->second.rows, h.rows) << weight;
      const double l = h.expert < 0 ? 0 : shrinkage(h.columns, h.rows);
      EXPECT_EQ(h.shrinkage, l);
      for (size_t i = 0; i < n * n; ++i) {
        const double own = cold ? 0 : at->second.sum[i], size = cold ? 0 : at->second.size[i];
        const double prior =
            l == 0 ? 0 : l * std::max<double>(1, static_cast<double>(h.rows)) / all_rows * all[i];
        // At most 256 or 200 additions in float32 (calib/gram.h), a few in double.
        const double bound = 256 * 0x1p-24 * (size + std::fabs(prior) * 20) + 1e-30;
        ASSERT_NEAR(h.values[i], (1 - l) * own + prior, bound) << weight << " " << h.expert;
      }
    }
  }
  for (const auto& [key, one] : expected.all) EXPECT_EQ(seen[key], 1) << key.first << key.second;
}

TEST_F(Hessians, DependOnNeitherBatchesNorThreads) {
  const std::vector<Kept> first = run(8192, 1);
  EXPECT_EQ(run(33, 3), first);
}

TEST(Shrinkage, GoesFromTheBlocksMeanToTheExpertsOwn) {
  EXPECT_EQ(shrinkage(2048, 0), 1);
  EXPECT_EQ(shrinkage(2048, 512), 0.5);
  EXPECT_NEAR(shrinkage(2048, 8192), 0.0588, 1e-4);
}

}  // namespace
}  // namespace karat::calib
