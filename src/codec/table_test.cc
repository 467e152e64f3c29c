#include "codec/table.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <tuple>
#include <vector>

#include "base/rng.h"
#include "codec/scalar_code.h"

namespace karat::codec {
namespace {

TEST(Table, TheOneInUseIsOfTheChosenInstructionSet) {
  EXPECT_EQ(&table(), &table_for(simd::chosen()));
}

TEST(Table, FirstOutOfRangeIsTheFirstOfAnyKindAtAnyPlace) {
  const float bad[] = {std::nanf(""), std::numeric_limits<float>::infinity(),
                       -std::numeric_limits<float>::infinity(), 2.5F, -2.5F};
  for (const simd::Isa isa : simd::supported()) {
    const auto first = table_for(isa).first_out_of_range;
    for (const int64_t n : {0, 1, 15, 16, 17, 33}) {
      std::vector<float> x(static_cast<size_t>(n), -2.0F);
      EXPECT_EQ(first(x.data(), n, 2.0F), n) << simd::name_of(isa);
      for (size_t i = x.size(); i-- > 0;) {  // later ones stay: the first counts
        x[i] = bad[i % std::size(bad)];
        EXPECT_EQ(first(x.data(), n, 2.0F), static_cast<int64_t>(i)) << simd::name_of(isa);
      }
    }
  }
}

// Blocks of random values and weights, and the awkward ones.
struct Block {
  std::vector<float> x;
  std::vector<float> w;
};
std::vector<Block> blocks() {
  std::vector<Block> list;
  base::Rng rng(5);
  for (int kind = 0; kind < 40; ++kind) {
    Block block;
    const double size = std::pow(10.0, kind % 7 * 2 - 9);
    for (int i = 0; i < 256; ++i) {
      double value = size * (rng.uniform() - 0.5) / (rng.uniform() + 0.01);
      if (kind % 5 == 1) value = rng.below(8) == 0 ? value : 0;
      if (kind % 5 == 2) value = size;
      if (kind % 5 == 3) value = i == 100 ? 1000 * size : value;
      if (kind % 5 == 4) value = size * static_cast<double>(i / 16);
      block.x.push_back(static_cast<float>(kind == 39 ? 0 : value));
      block.w.push_back(static_cast<float>(std::exp(6 * rng.uniform() - 3)));
    }
    list.push_back(block);
  }
  return list;
}

bool operator==(const BlockChoice& a, const BlockChoice& b) {
  return std::memcmp(&a, &b, sizeof a) == 0;
}

TEST(Table, EveryInstructionSetFindsTheSameScales) {
  const CodecTable& want = scalar_table;
  for (const Block& block : blocks()) {
    const BlockProblem eight{block.x.data(), block.w.data(), 8, 32};
    const BlockProblem sixteen{block.x.data(), block.w.data(), 16, 16};
    const BlockProblem one{block.x.data(), block.w.data(), 1, 32};
    for (const simd::Isa isa : simd::supported()) {
      const CodecTable& got = table_for(isa);
      for (const auto& [code_max, integer_max, problem] :
           {std::tuple(15, 63, eight), std::tuple(31, 63, eight), std::tuple(3, 15, sixteen)}) {
        EXPECT_TRUE(got.search_affine(problem, code_max, integer_max) ==
                    want.search_affine(problem, code_max, integer_max))
            << simd::name_of(isa);
      }
      for (const auto& [bound, integer_bound] : {std::pair(32, 128), std::pair(4, 32)}) {
        EXPECT_TRUE(got.search_symmetric(sixteen, bound, integer_bound) ==
                    want.search_symmetric(sixteen, bound, integer_bound))
            << simd::name_of(isa);
      }
      EXPECT_TRUE(got.search_single(one, 128) == want.search_single(one, 128));
      EXPECT_TRUE(got.search_single_affine(one, 15) == want.search_single_affine(one, 15));
    }
  }
}

TEST(Table, EveryInstructionSetWeighsAlike) {
  for (const Block& block : blocks()) {
    for (const simd::Isa isa : simd::supported()) {
      for (const int n : {1, 32, 250, 256}) {
        std::vector<float> got(256), want(256);
        table_for(isa).condition_weights(block.x.data(), n, got.data());
        scalar_table.condition_weights(block.x.data(), n, want.data());
        EXPECT_EQ(got, want) << simd::name_of(isa) << " " << n;
      }
      std::vector<float> got = block.w, want = block.w;
      table_for(isa).weigh_by_size(2, 64, block.x.data(), 256, got.data());
      scalar_table.weigh_by_size(2, 64, block.x.data(), 256, want.data());
      EXPECT_EQ(got, want) << simd::name_of(isa);
      table_for(isa).weigh_by_magnitude(block.x.data(), 256, got.data());
      scalar_table.weigh_by_magnitude(block.x.data(), 256, want.data());
      EXPECT_EQ(got, want) << simd::name_of(isa);
    }
  }
}

// What round() gives for each element, ties and steps of zero included.
TEST(Table, CodesAreRoundedAsOneByOne) {
  base::Rng rng(6);
  std::vector<float> x(256), step(16), offset(16);
  for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(rng.below(4000)) / 64 - 30;
  for (size_t s = 0; s < 16; ++s) {
    step[s] = s % 5 == 0 ? 0 : static_cast<float>(s) / 4 * (s % 2 == 0 ? -1.0F : 1.0F);
    offset[s] = static_cast<float>(s) / 8;
  }
  for (const simd::Isa isa : simd::supported()) {
    for (const int sub : {16, 32}) {
      const ScalarGrid grid{step.data(), offset.data(), sub, -8, 7};
      std::vector<Code> codes(256);
      table_for(isa).round_codes(grid, x.data(), 256, codes.data());
      for (size_t i = 0; i < 256; ++i) {
        const size_t s = i / static_cast<size_t>(sub);
        Code code;
        float value;
        round_scalar(step[s], offset[s], -8, 7, x[i], &code, &value);
        ASSERT_EQ(codes[i], code) << simd::name_of(isa) << " " << i;
      }
    }
  }
}

}  // namespace
}  // namespace karat::codec
