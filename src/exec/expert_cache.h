// The experts of a model whose weights do not fit into memory: the ones used last are kept, others
// are read when the router asks for them. Everything else of the model stays in memory.
#pragma once

#include <cstdint>
#include <list>
#include <span>
#include <vector>

#include "base/arena.h"
#include "base/threads.h"
#include "model/weights.h"
#include "tensor/source.h"

namespace karat::exec {

class ExpertCache : public model::ExpertStore {
 public:
  // What came of require() so far.
  struct Counts {
    uint64_t asked = 0;  // experts
    uint64_t read = 0;   // of them from the source
    uint64_t bytes = 0;  // that were read
  };

  // The source and the pool must outlive the cache.
  ExpertCache(const tensor::TensorSource& source, base::ThreadPool& pool)
      : source_(source), pool_(pool) {}

  // Takes over the expert stacks of a block that was bound without them (WeightBytes), before
  // reserve(). The block must not be copied afterwards, but it may be moved.
  void adopt(model::BlockWeights& block);
  // Memory for as many experts as fit into `bytes_max`. Error{memory} if those of one block do not,
  // because one pass may need them all.
  void reserve(uint64_t bytes_max);

  void require(int64_t layer, std::span<const int32_t> experts) override;

  int64_t capacity() const { return static_cast<int64_t>(slots_.size()); }  // experts
  int64_t experts() const;                                                  // of all blocks
  const Counts& counts() const { return counts_; }

  // What one expert takes: the largest's bytes.
  uint64_t expert_bytes() const { return slot_bytes_; }

 private:
  // One block's stacks and where their matrices are: places[matrix][expert].
  struct Block {
    std::vector<model::Linear> stacks;
    std::vector<std::vector<const std::byte*>> places;
    std::vector<int32_t> slot;  // [experts]; -1: not here
  };
  struct Slot {
    std::byte* memory = nullptr;
    int64_t layer = -1;  // whose expert it holds; -1: nobody's
    int32_t expert = -1;
    uint64_t used = 0;                  // the call of require() that last asked for it
    std::list<int32_t>::iterator turn;  // in turns_
  };
  int32_t take_oldest();
  void assign(int32_t slot, int64_t layer, int32_t expert);

  const tensor::TensorSource& source_;
  base::ThreadPool& pool_;
  base::Arena arena_;
  uint64_t slot_bytes_ = 0;
  std::vector<Block> blocks_;  // by layer
  std::vector<Slot> slots_;
  std::list<int32_t> turns_;  // slots, the one used last in front
  uint64_t calls_ = 0;
  Counts counts_;
};

}  // namespace karat::exec
