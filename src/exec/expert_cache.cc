#include "exec/expert_cache.h"

#include <algorithm>

#include "base/error.h"
#include "base/text.h"

namespace karat::exec {

namespace {

// Matrices begin at multiples of a cache line.
constexpr uint64_t kAlign = 64;
uint64_t matrix_bytes(const model::Linear& stack) {
  return (static_cast<uint64_t>(stack.expert_bytes()) + kAlign - 1) / kAlign * kAlign;
}

}  // namespace

void ExpertCache::adopt(model::BlockWeights& block) {
  CHECK(slots_.empty() && block.moe.store == nullptr);
  const auto layer = static_cast<size_t>(block.layer);
  if (blocks_.size() <= layer) blocks_.resize(layer + 1);
  Block& own = blocks_[layer];
  uint64_t bytes = 0;
  model::MoeWeights& moe = block.moe;
  for (model::Linear* stack : {&moe.gate, &moe.up, &moe.gate_up, &moe.down}) {
    if (stack->experts <= 1) continue;
    CHECK(!*stack);
    const auto experts = static_cast<size_t>(stack->experts);
    own.slot.assign(experts, -1);
    own.places.emplace_back(experts, nullptr);
    stack->places = own.places.back().data();
    own.stacks.push_back(*stack);
    bytes += matrix_bytes(*stack);
  }
  moe.store = this;
  slot_bytes_ = std::max(slot_bytes_, bytes);
}

void ExpertCache::reserve(uint64_t bytes_max) {
  size_t largest = 0;
  for (const Block& block : blocks_) largest = std::max(largest, block.slot.size());
  const uint64_t wanted = std::min(bytes_max / slot_bytes_, static_cast<uint64_t>(experts()));
  if (wanted < largest) {
    throw base::fail(base::ErrorKind::memory,
                     "%s: the %zu experts of a block need %.2f GB, but only %.2f GB are left for "
                     "experts; allow more memory or use a smaller type",
                     base::printable(source_.origin()).c_str(), largest,
                     1e-9 * static_cast<double>(largest * slot_bytes_),
                     1e-9 * static_cast<double>(bytes_max));
  }
  slots_.resize(wanted);
  for (size_t i = 0; i < slots_.size(); ++i) {
    slots_[i].memory = arena_.allocate(slot_bytes_);
    turns_.push_back(static_cast<int32_t>(i));
    slots_[i].turn = std::prev(turns_.end());
  }
}

int64_t ExpertCache::experts() const {
  size_t count = 0;
  for (const Block& block : blocks_) count += block.slot.size();
  return static_cast<int64_t>(count);
}

int32_t ExpertCache::take_oldest() {
  const int32_t oldest = turns_.back();
  Slot& slot = slots_[static_cast<size_t>(oldest)];
  CHECK(slot.used != calls_);  // there is room for one block's experts
  if (slot.layer < 0) return oldest;
  Block& owner = blocks_[static_cast<size_t>(slot.layer)];
  owner.slot[static_cast<size_t>(slot.expert)] = -1;
  for (auto& places : owner.places) places[static_cast<size_t>(slot.expert)] = nullptr;
  slot.layer = -1;
  return oldest;
}

void ExpertCache::assign(int32_t index, int64_t layer, int32_t expert) {
  Slot& slot = slots_[static_cast<size_t>(index)];
  Block& block = blocks_[static_cast<size_t>(layer)];
  slot.layer = layer, slot.expert = expert;
  block.slot[static_cast<size_t>(expert)] = index;
  std::byte* at = slot.memory;
  for (size_t m = 0; m < block.stacks.size(); ++m) {
    block.places[m][static_cast<size_t>(expert)] = at;
    at += matrix_bytes(block.stacks[m]);
  }
}

void ExpertCache::require(int64_t layer, std::span<const int32_t> experts) {
  ++calls_;
  counts_.asked += experts.size();
  Block& block = blocks_[static_cast<size_t>(layer)];
  const auto use = [&](int32_t index) {
    Slot& slot = slots_[static_cast<size_t>(index)];
    slot.used = calls_;
    turns_.splice(turns_.begin(), turns_, slot.turn);
  };
  std::vector<int32_t> missing;
  for (const int32_t expert : experts) {
    const int32_t index = block.slot[static_cast<size_t>(expert)];
    if (index < 0) {
      missing.push_back(expert);
    } else {
      use(index);
    }
  }
  std::vector<int32_t> taken;
  for (size_t i = 0; i < missing.size(); ++i) {
    taken.push_back(take_oldest());
    use(taken.back());
  }
  // An expert gets its place when it is there: a reading that fails leaves the others in order.
  const auto stacks = static_cast<int64_t>(block.stacks.size());
  pool_.for_each(static_cast<int64_t>(missing.size()) * stacks, [&](int64_t task, int) {
    const auto i = static_cast<size_t>(task / stacks);
    std::byte* out = slots_[static_cast<size_t>(taken[i])].memory;
    for (int64_t m = 0; m < task % stacks; ++m) {
      out += matrix_bytes(block.stacks[static_cast<size_t>(m)]);
    }
    const model::Linear& stack = block.stacks[static_cast<size_t>(task % stacks)];
    model::read_matrix(source_, stack, missing[i], out);
  });
  for (size_t i = 0; i < missing.size(); ++i) assign(taken[i], layer, missing[i]);
  counts_.read += missing.size();
  for (const model::Linear& stack : block.stacks) {
    counts_.bytes += missing.size() * static_cast<uint64_t>(stack.rows * stack.row_bytes());
  }
}

}  // namespace karat::exec
