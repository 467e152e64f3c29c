#include "exec/expert_cache.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "base/rng.h"
#include "format/gguf.h"
#include "model/config.h"
#include "support/golden.h"

namespace karat::exec {
namespace {

class ExpertCacheTest : public testing::Test {
 protected:
  ExpertCacheTest() {
    bytes_.leave_experts();
    for (int64_t layer = 0; layer < config_.layers(); ++layer) {
      blocks_.push_back(model::bind_block(source_, config_, layer, bytes_));
    }
    for (model::BlockWeights& block : blocks_) cache_.adopt(block);
  }

  // The matrix is here and is the file's.
  void expect_here(const model::Linear& stack, int64_t expert) const {
    ASSERT_NE(stack.expert(expert), nullptr) << stack.name << " " << expert;
    std::vector<std::byte> stored(static_cast<size_t>(stack.expert_bytes()));
    source_.read_expert(source_.at(stack.name), expert, stored);
    EXPECT_TRUE(std::equal(stored.begin(), stored.end(), stack.expert(expert))) << stack.name;
  }

  const format::GgufSource source_{golden::fixture("goldens/gguf/tiny-f32.gguf")};
  const model::Config config_ = model::config_from_gguf(source_.metadata(), "tiny");
  base::ThreadPool pool_{2};
  model::WeightBytes bytes_;
  std::vector<model::BlockWeights> blocks_;
  ExpertCache cache_{source_, pool_};
};

TEST_F(ExpertCacheTest, KeepsTheExpertsUsedLast) {
  const auto all = static_cast<int32_t>(config_.experts);
  cache_.reserve(cache_.expert_bytes() * static_cast<uint64_t>(all));
  ASSERT_EQ(cache_.capacity(), all);
  std::vector<int32_t> every;
  for (int32_t e = 0; e < all; ++e) every.push_back(e);
  cache_.require(0, every);
  for (const int32_t e : every) expect_here(blocks_[0].moe.down, e);
  EXPECT_EQ(cache_.counts().read, static_cast<uint64_t>(all));
  cache_.require(0, std::vector<int32_t>{0, 2});
  EXPECT_EQ(cache_.counts().read, static_cast<uint64_t>(all));  // nothing new
  // Two of another block drive out those of the first that were used longest ago.
  cache_.require(1, std::vector<int32_t>{1, 3});
  EXPECT_EQ(cache_.counts().read, static_cast<uint64_t>(all) + 2);
  for (const int32_t e : {1, 3}) {
    expect_here(blocks_[1].moe.gate, e);
    expect_here(blocks_[1].moe.down, e);
  }
  for (const int32_t e : {0, 2}) expect_here(blocks_[0].moe.up, e);
  int gone = 0;
  for (const int32_t e : every) gone += blocks_[0].moe.up.expert(e) == nullptr ? 1 : 0;
  EXPECT_EQ(gone, 2);
}

TEST_F(ExpertCacheTest, ExpectedExpertsComeByThemselves) {
  cache_.reserve(cache_.expert_bytes() * static_cast<uint64_t>(config_.experts));
  const std::vector<int32_t> some = {0, 3};
  cache_.expect(2, some);
  while (cache_.counts().read < some.size()) std::this_thread::yield();
  cache_.require(2, some);
  EXPECT_EQ(cache_.counts().missed, 0u);
  for (const int32_t e : some) expect_here(blocks_[2].moe.down, e);
}

// Expectations and requirements in each other's way, with room for one block only.
TEST_F(ExpertCacheTest, ManyOfBoth) {
  cache_.reserve(cache_.expert_bytes() * static_cast<uint64_t>(config_.experts));
  base::Rng rng(1);
  const auto draw = [&] {
    std::vector<int32_t> experts;
    for (int32_t e = 0; e < config_.experts; ++e) {
      if (rng.below(2) == 0) experts.push_back(e);
    }
    return experts;
  };
  const auto layers = static_cast<uint64_t>(config_.layers());
  for (int round = 0; round < 300; ++round) {
    const std::vector<int32_t> experts = draw();
    const auto layer = static_cast<int64_t>(rng.below(layers));
    cache_.expect(static_cast<int64_t>(rng.below(layers)), draw());
    if (rng.below(2) == 0) std::this_thread::yield();
    cache_.require(layer, experts);
    cache_.expect(static_cast<int64_t>(rng.below(layers)), draw());
    for (const int32_t e : experts) expect_here(blocks_[static_cast<size_t>(layer)].moe.down, e);
  }
}

TEST_F(ExpertCacheTest, NeedsRoomForOneBlock) {
  try {
    cache_.reserve(cache_.expert_bytes() * static_cast<uint64_t>(config_.experts) - 1);
    FAIL() << "accepted";
  } catch (const base::Error& error) {
    EXPECT_EQ(error.kind(), base::ErrorKind::memory);
  }
}

TEST_F(ExpertCacheTest, TakesNoMoreThanThereIs) {
  cache_.reserve(uint64_t{1} << 40);
  EXPECT_EQ(cache_.capacity(), cache_.experts());
  EXPECT_EQ(cache_.experts(), config_.layers() * config_.experts);
}

}  // namespace
}  // namespace karat::exec
