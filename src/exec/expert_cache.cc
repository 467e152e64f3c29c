#include "exec/expert_cache.h"

#include <algorithm>
#include <future>

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
    CHECK(!*stack && stack->rows > 0);
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
  if (slot_bytes_ == 0) return;  // no block has a stack
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

ExpertCache::Counts ExpertCache::counts() const {
  const std::lock_guard lock(mutex_);
  return counts_;
}

// The slot used longest ago becomes this expert's, which is on its way from now on. -1: all are in
// use or on their way.
int32_t ExpertCache::take(int64_t layer, int32_t expert) {
  const auto free = std::find_if(turns_.rbegin(), turns_.rend(), [&](int32_t index) {
    const Slot& slot = slots_[static_cast<size_t>(index)];
    return !slot.arriving && (slot.layer < 0 || slot.used != calls_);
  });
  if (free == turns_.rend()) return -1;
  const int32_t index = *free;
  release(index);
  Slot& slot = slots_[static_cast<size_t>(index)];
  slot.layer = layer, slot.expert = expert, slot.arriving = true;
  blocks_[static_cast<size_t>(layer)].slot[static_cast<size_t>(expert)] = index;
  use(index);
  return index;
}

void ExpertCache::use(int32_t index) {
  Slot& slot = slots_[static_cast<size_t>(index)];
  slot.used = calls_;
  turns_.splice(turns_.begin(), turns_, slot.turn);
}

void ExpertCache::arrive(int32_t index) {
  Slot& slot = slots_[static_cast<size_t>(index)];
  Block& block = blocks_[static_cast<size_t>(slot.layer)];
  slot.arriving = false;
  const std::byte* at = slot.memory;
  ++counts_.read;
  for (size_t m = 0; m < block.stacks.size(); ++m) {
    const model::Linear& stack = block.stacks[m];
    block.places[m][static_cast<size_t>(slot.expert)] = at;
    at += matrix_bytes(stack);
    counts_.bytes += static_cast<uint64_t>(stack.rows * stack.row_bytes());
  }
}

void ExpertCache::release(int32_t index) {
  Slot& slot = slots_[static_cast<size_t>(index)];
  if (slot.layer >= 0) {
    Block& owner = blocks_[static_cast<size_t>(slot.layer)];
    owner.slot[static_cast<size_t>(slot.expert)] = -1;
    for (auto& places : owner.places) places[static_cast<size_t>(slot.expert)] = nullptr;
  }
  slot.layer = -1;
  slot.arriving = false;
}

// A slot on its way belongs to whoever took it.
void ExpertCache::read(int32_t index, size_t matrix) const {
  const Slot& slot = slots_[static_cast<size_t>(index)];
  const Block& block = blocks_[static_cast<size_t>(slot.layer)];
  std::byte* out = slot.memory;
  for (size_t m = 0; m < matrix; ++m) out += matrix_bytes(block.stacks[m]);
  model::read_matrix(source_, block.stacks[matrix], slot.expert, out);
}

// Gives back, when a reading throws, the slots that were to be filled.
struct ExpertCache::Unread {
  ExpertCache& cache;
  const std::vector<int32_t>& slots;
  std::unique_lock<std::mutex>& lock;
  ~Unread() {
    if (!lock.owns_lock()) lock.lock();
    for (const int32_t index : slots) {
      if (cache.slots_[static_cast<size_t>(index)].arriving) cache.release(index);
    }
  }
};

// Reads the experts that the slots were taken for; the lock is held before and after.
void ExpertCache::fill(const std::vector<int32_t>& slots, size_t stacks,
                       std::unique_lock<std::mutex>& lock) {
  const Unread unread{*this, slots, lock};
  lock.unlock();
  pool_.for_each(static_cast<int64_t>(slots.size() * stacks), [&](int64_t task, int) {
    read(slots[static_cast<size_t>(task) / stacks], static_cast<size_t>(task) % stacks);
  });
  lock.lock();
  for (const int32_t index : slots) arrive(index);
}

void ExpertCache::require(int64_t layer, std::span<const int32_t> experts) {
  std::unique_lock lock(mutex_);
  ++calls_;
  expected_.clear();
  counts_.asked += experts.size();
  Block& block = blocks_[static_cast<size_t>(layer)];
  const auto slot_of = [&](int32_t expert) { return block.slot[static_cast<size_t>(expert)]; };
  std::vector<int32_t> missing, taken;
  for (const int32_t expert : experts) {
    if (slot_of(expert) < 0) {
      missing.push_back(expert);
    } else {
      use(slot_of(expert));
    }
  }
  // What the reader still reads for others may be in the way; it ends.
  for (const int32_t expert : missing) {
    int32_t index = take(layer, expert);
    for (; index < 0; index = take(layer, expert)) changed_.wait(lock);
    taken.push_back(index);
  }
  counts_.missed += missing.size();
  fill(taken, block.stacks.size(), lock);
  for (const int32_t expert : experts) {
    changed_.wait(lock, [&] {
      const int32_t index = slot_of(expert);
      return index < 0 || !slots_[static_cast<size_t>(index)].arriving;
    });
  }
  // What the reader could not read is read again here, for the message.
  const bool all = std::all_of(experts.begin(), experts.end(),
                               [&](int32_t expert) { return slot_of(expert) >= 0; });
  lock.unlock();
  if (!all) require(layer, experts);
}

void ExpertCache::expect(int64_t layer, std::span<const int32_t> experts) {
  const std::lock_guard lock(mutex_);
  expected_.clear();
  for (const int32_t expert : experts) expected_.push_back({layer, expert});
  if (!reader_.joinable()) reader_ = std::thread([this] { read_expected(); });
  changed_.notify_all();
}

void ExpertCache::read_expected() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [&] { return ending_ || !expected_.empty(); });
    if (ending_) return;
    const Expected next = expected_.back();
    expected_.pop_back();
    const Block& block = blocks_[static_cast<size_t>(next.layer)];
    if (block.slot[static_cast<size_t>(next.expert)] >= 0) continue;
    const int32_t index = take(next.layer, next.expert);
    if (index < 0) continue;
    lock.unlock();
    // The future keeps what the reading throws; require() will meet it again.
    bool sound = false;
    std::async(std::launch::deferred, [&] {
      for (size_t m = 0; m < block.stacks.size(); ++m) read(index, m);
      sound = true;
    }).wait();
    lock.lock();
    if (sound) {
      arrive(index);
    } else {
      release(index);
    }
    changed_.notify_all();
  }
}

ExpertCache::~ExpertCache() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  changed_.notify_all();
  if (reader_.joinable()) reader_.join();
}

}  // namespace karat::exec
