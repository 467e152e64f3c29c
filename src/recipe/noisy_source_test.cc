#include "recipe/noisy_source.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "base/rng.h"
#include "support/memory_source.h"

namespace karat::recipe {
namespace {

std::vector<float> floats(const tensor::TensorSource& source, const std::string& name,
                          int64_t begin, int64_t count) {
  const tensor::TensorInfo& info = source.at(name);
  std::vector<float> values(static_cast<size_t>(count * info.shape.cols()));
  source.read_rows(info, begin, count, std::as_writable_bytes(std::span(values)));
  return values;
}

TEST(Noise, HasTheSizeOfItsBlockAndBothSigns) {
  std::vector<float> row(100, 2.0f);
  for (size_t i = 32; i < 64; ++i) row[i] = i % 2 == 0 ? 0.0f : 1.0f;
  const std::vector<float> before = row;
  add_noise(row, 5, 0.25, 9);
  int up = 0;
  for (size_t i = 0; i < row.size(); ++i) {
    const double size = i >= 32 && i < 64 ? 0.25 * std::sqrt(0.5) : 0.5;
    EXPECT_NEAR(std::abs(row[i] - before[i]), size, 1e-6) << i;
    up += row[i] > before[i] ? 1 : 0;
  }
  EXPECT_GT(up, 30);
  EXPECT_LT(up, 70);
  std::vector<float> other = before;
  add_noise(other, 6, 0.25, 9);
  EXPECT_NE(row, other);
}

TEST(NoisySource, OnlyTheNamedTensorsAreOtherAndRowsDoNotDependOnTheCut) {
  test::MemorySource source;
  std::vector<float> values;
  for (int i = 0; i < 4 * 64; ++i) values.push_back(std::sin(static_cast<float>(i)));
  source.add_f32("blk.0.ffn_down_exps.weight", {2, 2, 64}, values);
  source.add_f32("blk.1.ffn_down_exps.weight", {2, 2, 64}, values);
  const std::string name = "blk.0.ffn_down_exps.weight", kept = "blk.1.ffn_down_exps.weight";
  const NoisySource noisy(source, {{name, 0.1}}, 3), again(source, {{name, 0.1}}, 4);
  const auto all = floats(noisy, name, 0, 4);
  EXPECT_NE(all, floats(source, name, 0, 4));
  EXPECT_NE(all, floats(again, name, 0, 4));
  EXPECT_EQ(floats(noisy, kept, 0, 4), floats(source, kept, 0, 4));
  const auto tail = floats(noisy, name, 3, 1);
  EXPECT_TRUE(std::equal(tail.begin(), tail.end(), all.end() - static_cast<int64_t>(tail.size())));
}

}  // namespace
}  // namespace karat::recipe
