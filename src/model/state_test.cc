#include "model/state.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace karat::model {
namespace {

Config small_config() {
  Config c;
  c.mixers = {Mixer::delta_net, Mixer::attention};
  c.mtp_layers = 1;
  c.key_heads = 1, c.value_heads = 2, c.key_dim = 2, c.value_dim = 3, c.conv_taps = 3;
  c.heads = 2, c.kv_heads = 1, c.head_dim = 4;
  return c;
}

// A stand-in for one token of the forward pass.
void step(SequenceState& state, float value, bool mtp) {
  for (float& x : state.block(0).delta.recurrent) x = x * 0.5F + value;
  for (float& x : state.block(0).delta.conv) x = value;
  const auto append = [](AttentionState& cache, float key, float row_value) {
    for (const auto& [rows, x] : {std::pair(&cache.k, key), std::pair(&cache.v, row_value)}) {
      rows->resize(rows->rows() + 1);
      rows->set(rows->rows() - 1, std::vector<float>(4, x).data());
    }
  };
  append(state.block(1).attention, value, -value);
  if (mtp) append(state.block(2).attention, value, value);
  state.advance(1);
}

void expect_equal(const SequenceState& a, const SequenceState& b) {
  EXPECT_EQ(a.length(), b.length());
  for (int64_t i = 0; i < a.blocks(); ++i) {
    EXPECT_EQ(a.block(i).delta.recurrent, b.block(i).delta.recurrent);
    EXPECT_EQ(a.block(i).delta.conv, b.block(i).delta.conv);
    EXPECT_TRUE(a.block(i).attention.k == b.block(i).attention.k);
    EXPECT_TRUE(a.block(i).attention.v == b.block(i).attention.v);
  }
}

TEST(SequenceState, StartsAtZeroWithTheConfigsSizes) {
  const SequenceState state(small_config());
  EXPECT_EQ(state.blocks(), 3);
  EXPECT_EQ(state.length(), 0);
  EXPECT_EQ(state.block(0).delta.recurrent, std::vector<float>(2 * 2 * 3));
  EXPECT_EQ(state.block(0).delta.conv, std::vector<float>(2 * (2 * 2 + 2 * 3)));
  EXPECT_EQ(state.block(2).mixer, Mixer::attention);
  EXPECT_EQ(state.block(1).attention.k.rows(), 0);
}

TEST(SequenceState, RollbackReturnsToTheNewestMarkAtOrBefore) {
  SequenceState state(small_config());
  std::vector<SequenceState> copies;
  for (int t = 0; t < 6; ++t) {
    copies.push_back(state);
    if (t == 2 || t == 4) state.mark();
    step(state, static_cast<float>(t + 1), true);
  }
  EXPECT_EQ(state.rollback(5), 4);
  expect_equal(state, copies[4]);
  step(state, 9, true);
  EXPECT_EQ(state.rollback(4), 4);  // a mark can be used again
  expect_equal(state, copies[4]);
  EXPECT_EQ(state.rollback(3), 2);
  expect_equal(state, copies[2]);
  EXPECT_EQ(state.rollback(1), 0);
  expect_equal(state, SequenceState(small_config()));
  EXPECT_THROW(state.rollback(1), base::Error);
}

TEST(SequenceState, RollbackToTheSameLengthKeepsTheTrunk) {
  SequenceState state(small_config());
  step(state, 1, false);
  const SequenceState unmarked = state;
  state.block(2).attention.k.resize(4), state.block(2).attention.v.resize(4);
  const SequenceState drafted = state;
  EXPECT_EQ(state.rollback(1), 1);
  expect_equal(state, drafted);  // no mark here: nothing happens
  state = unmarked;
  state.mark();
  state.block(2).attention.k.resize(4), state.block(2).attention.v.resize(4);
  EXPECT_EQ(state.rollback(1), 1);
  expect_equal(state, unmarked);  // the draft's MTP rows are gone
}

TEST(SequenceState, KeepsTheNewestMarks) {
  SequenceState state(small_config());
  state.set_marks_max(2);
  for (int t = 0; t < 4; ++t) {
    step(state, 1, false);
    state.mark();
    state.mark();  // the same length again takes no room
  }
  EXPECT_EQ(state.rollback(3), 3);
  EXPECT_EQ(state.rollback(2), 0);
  EXPECT_THROW(state.set_marks_max(0), base::Error);
}

}  // namespace
}  // namespace karat::model
