#include "codec/distortion.h"

#include <gtest/gtest.h>

#include <array>
#include <cstring>

namespace karat::codec {
namespace {

TEST(Distortion, SumsWeightedSquares) {
  const std::array<float, 3> values = {1, -2, 4};
  const std::array<float, 3> decoded = {1.5F, -2, 3};
  const std::array<float, 3> w = {2, 8, 0.5F};
  const Distortion d = distortion(values, decoded, w);
  EXPECT_EQ(d.error, 2 * 0.25 + 0.5 * 1);
  EXPECT_EQ(d.signal, 2 * 1 + 8 * 4 + 0.5 * 16);
  EXPECT_EQ(d.weight, 10.5);
  EXPECT_EQ(d.mean_error(), 1.0 / 10.5);
  EXPECT_EQ(d.relative_error(), 1.0 / 42);
}

TEST(Distortion, WithoutWeightsEveryElementCountsOne) {
  const std::array<float, 2> values = {3, 4};
  const std::array<float, 2> decoded = {0, 4};
  Distortion sum = distortion(values, decoded, {});
  EXPECT_EQ(sum.error, 9);
  EXPECT_EQ(sum.weight, 2);
  sum += sum;
  EXPECT_EQ(sum.error, 18);
  EXPECT_EQ(sum.signal, 50);
  EXPECT_EQ(sum.weight, 4);
}

TEST(Distortion, NothingAddedIsZero) {
  EXPECT_EQ(Distortion().mean_error(), 0);
  EXPECT_EQ(Distortion().relative_error(), 0);
}

TEST(Distortion, DecodesBytes) {
  const std::array<float, 2> values = {1, 2};
  const std::array<float, 2> stored = {1, 2.5F};
  std::array<std::byte, 8> bytes;
  std::memcpy(bytes.data(), stored.data(), 8);
  EXPECT_EQ(distortion(codec_for(tensor::DType::f32), values, bytes, {}).error, 0.25);
}

}  // namespace
}  // namespace karat::codec
