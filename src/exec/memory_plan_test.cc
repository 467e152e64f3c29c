#include "exec/memory_plan.h"

#include <gtest/gtest.h>
#include <malloc.h>

#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "exec/session.h"
#include "model/open.h"
#include "support/full_shape.h"

namespace karat::exec {
namespace {

using tensor::DType;

constexpr model::CacheTypes kF16{DType::f16, DType::f16}, kQ8{DType::q8_0, DType::q8_0};

TEST(MemoryPlan, StateAndCacheOfTheFullShape) {
  const model::Config c = test::Full(true).config;
  EXPECT_EQ(attention_layers(c), 10);
  // 30 layers of 32 heads x 128 x 128 floats, and of 3 rows of 8192 channels.
  EXPECT_EQ(delta_state_bytes(c), 62914560u + 2949120u);
  EXPECT_EQ(10 * cache_row_bytes(c, kF16), 20480u);
  EXPECT_EQ(10 * cache_row_bytes(c, kQ8), 10880u);
  EXPECT_EQ(cache_row_bytes(c, kF16), 2048u);  // the MTP block
}

TEST(MemoryPlan, TheFullShapeAddsUp) {
  const test::Full full(true);
  const MemoryPlan plan = plan_memory(full.source, full.config, {.context = 131072, .cache = kF16});
  uint64_t bytes = 0;
  for (const tensor::TensorInfo& info : full.source.tensors()) {
    bytes += static_cast<uint64_t>(info.bytes());
  }
  EXPECT_EQ(plan.weights.total(true), bytes);
  EXPECT_EQ(plan.weights.experts, uint64_t{40} * 256 * 3 * 2048 * 512 * 2);
  EXPECT_EQ(plan.weights.embedding, uint64_t{248320} * 2048 * 2);
  EXPECT_EQ(plan.weights.head, plan.weights.embedding);
  EXPECT_EQ(plan.weight_bytes(), bytes - plan.weights.mtp);
  EXPECT_EQ(plan.cache_bytes(), 131072u * 20480u);  // 2.68 GB
  EXPECT_EQ(plan.state_bytes(), 65863680u);
  EXPECT_EQ(plan.total(),
            plan.weight_bytes() + plan.cache_bytes() + plan.state_bytes() + plan.scratch);
  // 8 experts of 512 tokens at width 2048 and 512, in and out, and the rest: tens of megabytes.
  EXPECT_GT(plan.scratch, uint64_t{512} * 8 * 2 * 2048 * 4);
  EXPECT_LT(plan.scratch, uint64_t{256} << 20);

  const MemoryPlan four = plan_memory(
      full.source, full.config,
      {.context = 1000, .sequences = 4, .with_mtp = true, .cache = kQ8, .piece_tokens = 512});
  EXPECT_EQ(four.cache_bytes(), 4u * 1000 * 11 * 1088);
  EXPECT_EQ(four.state_bytes(), 4u * 65863680u);
  EXPECT_EQ(four.weight_bytes(), bytes);
}

TEST(MemoryPlan, LargestContextIsTheLastThatFits) {
  const test::Full full(false);
  for (const uint64_t allowed : {uint64_t{80} << 30, uint64_t{70'000'000'000}}) {
    MemoryRequest request{.context = 600, .sequences = 2, .cache = kF16};
    request.context = plan_memory(full.source, full.config, request).context_that_fits(allowed);
    ASSERT_GT(request.context, 512);
    EXPECT_LE(plan_memory(full.source, full.config, request).total(), allowed);
    ++request.context;
    EXPECT_GT(plan_memory(full.source, full.config, request).total(), allowed);
  }
  const MemoryPlan plan = plan_memory(full.source, full.config, {.context = 8, .cache = kF16});
  EXPECT_EQ(plan.context_that_fits(uint64_t{20} << 30), 0);
}

uint64_t status_bytes(const std::string& key) {
  std::ifstream in("/proc/self/status");
  for (std::string line; std::getline(in, line);) {
    if (line.rfind(key, 0) == 0) return std::stoull(line.substr(key.size() + 1)) * 1024;
  }
  return 0;
}

// Loads the demo model and fills a context.
void run_demo(const model::OpenedModel& opened, const MemoryRequest& request) {
  base::ThreadPool pool(1);
  const ResidentModel model(*opened.source, opened.config, false);
  Session session(model, pool, request.context, {}, request.cache);
  std::vector<int32_t> ids(static_cast<size_t>(request.context));
  for (size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<int32_t>(i * 31 % 4000);
  session.feed(ids);
}

// The most that the process holds meanwhile, against the plan. A first short run on another thread,
// which takes its scratch memory with it, brings the program's own pages in.
TEST(MemoryPlan, IsWhatARunTakes) {
  MemoryRequest request{.context = 8, .cache = {DType::f32, DType::f32}};
  const model::OpenedModel opened = model::open_model(std::string(KARAT_ROOT) + "/demo/model");
  std::thread([&] { run_demo(opened, request); }).join();
  request.context = 5000;
  const MemoryPlan plan = plan_memory(*opened.source, opened.config, request);
  ::malloc_trim(0);
  std::ofstream("/proc/self/clear_refs") << "5";  // VmHWM begins anew
  const uint64_t before = status_bytes("VmRSS:");
  if (status_bytes("VmHWM:") > before + (1u << 20)) GTEST_SKIP() << "the peak cannot be reset";
  run_demo(opened, request);
  const auto measured = static_cast<double>(status_bytes("VmHWM:") - before);
  const auto planned = static_cast<double>(plan.total());
  // Weights lie on pages of 2 MiB (base/arena.h), of which the last is not full.
  constexpr double kHugePage = 2 << 20;
  EXPECT_NEAR(measured, planned, 0.02 * planned + kHugePage);
}

}  // namespace
}  // namespace karat::exec
