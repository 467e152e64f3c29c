#include "exec/expert_cache.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "base/error.h"
#include "base/rng.h"
#include "codec/codec.h"
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

// Reads of one expert fail while it is broken.
class BrokenSource : public tensor::TensorSource {
 public:
  explicit BrokenSource(const tensor::TensorSource& sound) : sound_(sound) {}
  const std::vector<tensor::TensorInfo>& tensors() const override { return sound_.tensors(); }
  void read_rows(const tensor::TensorInfo& tensor, int64_t row_begin, int64_t row_count,
                 std::span<std::byte> out) const override {
    if (row_begin == broken * tensor.shape.rows() / tensor.shape.experts()) {
      throw base::fail(base::ErrorKind::io, "broken");
    }
    sound_.read_rows(tensor, row_begin, row_count, out);
  }
  std::atomic<int64_t> broken = -1;

 private:
  const tensor::TensorSource& sound_;
};

TEST_F(ExpertCacheTest, AReadingThatFailsLeavesTheOthersInOrder) {
  BrokenSource source(source_);
  model::BlockWeights block = model::bind_block(source_, config_, 1, bytes_);
  ExpertCache cache(source, pool_);
  cache.adopt(block);
  cache.reserve(uint64_t{1} << 40);
  cache.require(1, std::vector<int32_t>{0});
  source.broken = 2;
  for (const bool expected_before : {false, true}) {
    if (expected_before) cache.expect(1, std::vector<int32_t>{2});
    EXPECT_THROW(cache.require(1, std::vector<int32_t>{0, 2, 3}), base::Error);
    expect_here(block.moe.down, 0);
    EXPECT_EQ(block.moe.down.expert(2), nullptr);
  }
  source.broken = -1;
  cache.require(1, std::vector<int32_t>{0, 2, 3});
  for (const int64_t e : {0, 2, 3}) expect_here(block.moe.down, e);
}

// Stacks of experts as Q8_0, everything else as it is.
class Q8Experts : public tensor::TensorSource {
 public:
  explicit Q8Experts(const tensor::TensorSource& floats)
      : floats_(floats), tensors_(floats.tensors()) {
    for (tensor::TensorInfo& info : tensors_) {
      if (info.shape.rank() == 3) info.dtype = tensor::DType::q8_0;
    }
  }
  const std::vector<tensor::TensorInfo>& tensors() const override { return tensors_; }
  void read_rows(const tensor::TensorInfo& tensor, int64_t row_begin, int64_t row_count,
                 std::span<std::byte> out) const override {
    const tensor::TensorInfo& stored = floats_.at(tensor.name);
    if (tensor.dtype == stored.dtype) return floats_.read_rows(stored, row_begin, row_count, out);
    std::vector<float> row(static_cast<size_t>(stored.shape.cols()));
    const auto bytes = static_cast<size_t>(tensor.row_bytes());
    for (int64_t r = 0; r < row_count; ++r) {
      floats_.read_rows(stored, row_begin + r, 1, std::as_writable_bytes(std::span(row)));
      codec::codec_for(tensor.dtype)
          .encode_row(row, {}, out.subspan(static_cast<size_t>(r) * bytes, bytes));
    }
  }

 private:
  const tensor::TensorSource& floats_;
  std::vector<tensor::TensorInfo> tensors_;
};

// Packed experts are those that a model with all of them holds.
TEST_F(ExpertCacheTest, PackedExpertsAreThoseOfTheWholeStack) {
  const Q8Experts source(source_);
  model::WeightBytes all(model::Layout::panels), part(model::Layout::panels);
  part.leave_experts();
  const model::BlockWeights whole = model::bind_block(source, config_, 0, all);
  model::BlockWeights block = model::bind_block(source, config_, 0, part);
  ExpertCache cache(source, pool_);
  cache.adopt(block);
  cache.reserve(uint64_t{1} << 40);
  cache.require(0, std::vector<int32_t>{1});
  for (const auto stack : {&model::MoeWeights::gate, &model::MoeWeights::down}) {
    const model::Linear& expected = whole.moe.*stack;
    ASSERT_EQ(expected.layout, model::Layout::panels);
    EXPECT_TRUE(std::equal(expected.expert(1), expected.expert(1) + expected.expert_bytes(),
                           (block.moe.*stack).expert(1)));
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
