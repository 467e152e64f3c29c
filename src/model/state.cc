#include "model/state.h"

#include <algorithm>

#include "base/error.h"

namespace karat::model {

namespace {

BlockState empty_state(const Config& config, int64_t layer, const CacheTypes& cache) {
  BlockState state;
  if (layer < config.layers()) state.mixer = config.mixers[static_cast<size_t>(layer)];
  if (state.mixer == Mixer::attention) {
    state.attention.k = CacheRows(cache.k, config.kv_width(), config.head_dim);
    state.attention.v = CacheRows(cache.v, config.kv_width(), config.head_dim);
    return state;
  }
  const int64_t recurrent = config.value_heads * config.key_dim * config.value_dim;
  const int64_t conv = (config.conv_taps - 1) * config.conv_channels();
  state.delta.recurrent.resize(static_cast<size_t>(recurrent));
  state.delta.conv.resize(static_cast<size_t>(conv));
  return state;
}

}  // namespace

SequenceState::SequenceState(const Config& config, CacheTypes cache) {
  for (int64_t layer = 0; layer < config.blocks(); ++layer) {
    blocks_.push_back(empty_state(config, layer, cache));
  }
}

SequenceState SequenceState::of_block(const Config& config, int64_t only) {
  SequenceState state;
  state.blocks_.resize(static_cast<size_t>(config.blocks()));
  state.block(only) = empty_state(config, only, {});
  return state;
}

void SequenceState::reserve(int64_t tokens) {
  for (BlockState& state : blocks_) {
    if (state.mixer != Mixer::attention) continue;
    state.attention.k.reserve(tokens);
    state.attention.v.reserve(tokens);
  }
}

void SequenceState::set_marks_max(int marks_max) {
  CHECK(marks_max >= 1);
  marks_max_ = marks_max;
  const auto keep = static_cast<size_t>(marks_max);
  if (marks_.size() > keep) marks_.erase(marks_.begin(), marks_.end() - marks_max);
}

void SequenceState::mark() {
  if (!marks_.empty() && marks_.back().length == length_) marks_.pop_back();
  if (marks_.size() == static_cast<size_t>(marks_max_)) marks_.erase(marks_.begin());
  Mark& mark = marks_.emplace_back();
  mark.length = length_;
  for (const BlockState& state : blocks_) {
    if (state.mixer == Mixer::delta_net) {
      mark.deltas.push_back(state.delta);
    } else {
      mark.cache_rows.push_back(state.attention.k.rows());
    }
  }
}

void SequenceState::restore(const Mark& mark) {
  auto delta = mark.deltas.begin();
  auto rows = mark.cache_rows.begin();
  for (BlockState& state : blocks_) {
    if (state.mixer == Mixer::delta_net) {
      if (length_ != mark.length) state.delta = *delta;
      ++delta;
    } else {
      state.attention.k.resize(*rows);
      state.attention.v.resize(*rows++);
    }
  }
  length_ = mark.length;
}

int64_t SequenceState::rollback(int64_t length) {
  CHECK(length >= 0 && length <= length_);
  const bool marked_here = !marks_.empty() && marks_.back().length == length;
  if (length == length_ && !marked_here) return length_;
  while (!marks_.empty() && marks_.back().length > length) marks_.pop_back();
  if (!marks_.empty()) {
    restore(marks_.back());
    return length_;
  }
  for (BlockState& state : blocks_) {
    std::fill(state.delta.recurrent.begin(), state.delta.recurrent.end(), 0.0F);
    std::fill(state.delta.conv.begin(), state.delta.conv.end(), 0.0F);
    state.attention.k.resize(0);
    state.attention.v.resize(0);
  }
  return length_ = 0;
}

}  // namespace karat::model
