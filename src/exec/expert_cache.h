// The experts of a model whose weights do not fit into memory: the ones used last are kept, others
// are read when the router asks for them, or before it does by a thread that is told what it will
// probably ask for. Everything else of the model stays in memory.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <list>
#include <mutex>
#include <span>
#include <thread>
#include <vector>

#include "base/arena.h"
#include "base/threads.h"
#include "model/weights.h"
#include "tensor/source.h"

namespace karat::exec {

// For one pass at a time: what require() brought is there until it is called again.
class ExpertCache : public model::ExpertStore {
 public:
  // What came of require() so far.
  struct Counts {
    uint64_t asked = 0;   // experts
    uint64_t missed = 0;  // of them, those that were neither here nor on their way
    uint64_t read = 0;    // experts, those included that were only expected
    uint64_t bytes = 0;   // that were read
  };

  // The source and the pool must outlive the cache.
  ExpertCache(const tensor::TensorSource& source, base::ThreadPool& pool)
      : source_(source), pool_(pool) {}
  ~ExpertCache() override;

  // Takes over the expert stacks of a block that was bound without them (WeightBytes), before
  // reserve(). The block must not be copied afterwards, but it may be moved.
  void adopt(model::BlockWeights& block);
  // Memory for as many experts as fit into `bytes_max`. Error{memory} if those of one block do not,
  // because one pass may need them all.
  void reserve(uint64_t bytes_max);

  void require(int64_t layer, std::span<const int32_t> experts) override;
  // These will probably be required: reads them while the caller goes on. Replaces what earlier
  // calls asked for and was not begun. Errors of reading are left to require().
  void expect(int64_t layer, std::span<const int32_t> experts);

  int64_t capacity() const { return static_cast<int64_t>(slots_.size()); }  // experts
  int64_t experts() const;                                                  // of all blocks
  Counts counts() const;

  // What one expert takes: the largest's bytes.
  uint64_t expert_bytes() const { return slot_bytes_; }

 private:
  // One block's stacks and where their matrices are: places[matrix][expert].
  struct Block {
    std::vector<model::Linear> stacks;
    std::vector<std::vector<const std::byte*>> places;
    std::vector<int32_t> slot;  // [experts]; -1: neither here nor on its way
  };
  struct Slot {
    std::byte* memory = nullptr;
    int64_t layer = -1;  // whose expert it holds; -1: nobody's
    int32_t expert = -1;
    uint64_t used = 0;                  // the call of require() that last asked for it
    bool arriving = false;              // being read: it has no place yet
    std::list<int32_t>::iterator turn;  // in turns_
  };
  struct Expected {
    int64_t layer;
    int32_t expert;
  };
  struct Unread;
  // All but read() with the mutex held.
  int32_t take(int64_t layer, int32_t expert);
  void use(int32_t slot);
  void arrive(int32_t slot);
  void release(int32_t slot);
  void read(int32_t slot, size_t matrix) const;
  void fill(const std::vector<int32_t>& slots, size_t stacks, std::unique_lock<std::mutex>& lock);
  void read_expected();

  const tensor::TensorSource& source_;
  base::ThreadPool& pool_;
  base::Arena arena_;
  uint64_t slot_bytes_ = 0;
  std::vector<Block> blocks_;  // by layer
  std::vector<Slot> slots_;
  std::list<int32_t> turns_;  // slots, the one used last in front
  uint64_t calls_ = 0;
  Counts counts_;

  mutable std::mutex mutex_;
  std::condition_variable changed_;  // expected_ has more, a slot has arrived, or it is the end
  std::vector<Expected> expected_;   // the next one last
  bool ending_ = false;
  std::thread reader_;  // from the first expect() on
};

}  // namespace karat::exec
