// What one sequence has left behind in each layer: recurrent state, convolution window, K/V rows.
#pragma once

#include <cstdint>
#include <vector>

#include "model/config.h"
#include "model/kv_cache.h"

namespace karat::model {

struct DeltaState {
  std::vector<float> recurrent;  // [value_heads, key_dim, value_dim], V heads tiled
  std::vector<float> conv;       // [taps - 1, conv_channels], oldest first, before the convolution
};

struct AttentionState {
  CacheRows k, v;  // [length, kv_width]; k after norm and rotation
};

struct BlockState {
  Mixer mixer = Mixer::attention;
  DeltaState delta;
  AttentionState attention;
};

// One sequence's timeline. Copyable: a copy is a checkpoint.
class SequenceState {
 public:
  SequenceState() = default;
  // Zero state for every trunk block and MTP block of `config`. Error{usage} if the cache types do
  // not fit the model's heads.
  explicit SequenceState(const Config& config, CacheTypes cache = {});
  // The same for block `only` alone; the others have none, and no pass may reach them.
  static SequenceState of_block(const Config& config, int64_t only);

  // Memory for the keys and values of so many tokens, the trunk's.
  void reserve(int64_t tokens);

  int64_t length() const { return length_; }  // tokens that went through the trunk
  BlockState& block(int64_t layer) { return blocks_[static_cast<size_t>(layer)]; }
  const BlockState& block(int64_t layer) const { return blocks_[static_cast<size_t>(layer)]; }
  int64_t blocks() const { return static_cast<int64_t>(blocks_.size()); }
  void advance(int64_t tokens) { length_ += tokens; }

  // Rollback. K/V rows can be cut; recurrent and convolution states cannot, so they are kept in
  // snapshots: mark() remembers the state at the current length (at most `marks_max` marks, the
  // oldest is dropped; a second mark at the same length replaces the first), and rollback(length)
  // returns to the newest mark at or before `length`, or to the empty state, and says which length
  // that is; the caller replays the tokens between. Rows of MTP blocks return to their number at
  // the mark. rollback(length()) without a mark there changes nothing; with one it only drops later
  // MTP rows.
  void set_marks_max(int marks_max);
  void mark();
  int64_t rollback(int64_t length);

 private:
  struct Mark {
    int64_t length;
    std::vector<DeltaState> deltas;   // of the DeltaNet blocks, in order
    std::vector<int64_t> cache_rows;  // rows in k (and in v) of the attention blocks, in order
  };
  void restore(const Mark& mark);

  int64_t length_ = 0;
  int marks_max_ = 8;
  std::vector<BlockState> blocks_;
  std::vector<Mark> marks_;  // increasing length
};

}  // namespace karat::model
