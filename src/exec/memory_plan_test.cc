#include "exec/memory_plan.h"

#include <gtest/gtest.h>

namespace karat::exec {
namespace {

using tensor::DType;

// Qwen3.6-35B-A3B.
model::Config full_shape() {
  model::Config c;
  for (int layer = 0; layer < 40; ++layer) {
    c.mixers.push_back(layer % 4 == 3 ? model::Mixer::attention : model::Mixer::delta_net);
  }
  c.kv_heads = 2, c.head_dim = 256;
  c.key_heads = 16, c.value_heads = 32, c.key_dim = c.value_dim = 128;
  return c;
}

TEST(MemoryPlan, StateAndCacheOfTheFullShape) {
  const model::Config c = full_shape();
  EXPECT_EQ(attention_layers(c), 10);
  // 30 layers of 32 heads x 128 x 128 floats, and of 3 rows of 8192 channels.
  EXPECT_EQ(delta_state_bytes(c), 62914560u + 2949120u);
  EXPECT_EQ(10 * cache_row_bytes(c, {DType::f16, DType::f16}), 20480u);
  EXPECT_EQ(10 * cache_row_bytes(c, {DType::q8_0, DType::q8_0}), 10880u);
  EXPECT_EQ(cache_row_bytes(c, {DType::f16, DType::f16}), 2048u);  // the MTP block
}

}  // namespace
}  // namespace karat::exec
