#include "base/arena.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <vector>

#include "base/error.h"

namespace karat::base {
namespace {

TEST(Arena, PiecesAreAlignedAndApart) {
  Arena arena;
  std::vector<std::byte*> pieces;
  const size_t sizes[] = {1, 0, 63, 64, 65, 5 << 20, 100 << 20, 7};
  for (const size_t size : sizes) {
    pieces.push_back(arena.allocate(size));
    ASSERT_NE(pieces.back(), nullptr);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(pieces.back()) % 64, 0U);
    if (size < 1 << 20) std::memset(pieces.back(), static_cast<int>(pieces.size()), size);
  }
  for (size_t i = 0; i < std::size(sizes); ++i) {
    if (sizes[i] == 0 || sizes[i] >= 1 << 20) continue;
    EXPECT_EQ(pieces[i][0], static_cast<std::byte>(i + 1));
    EXPECT_EQ(pieces[i][sizes[i] - 1], static_cast<std::byte>(i + 1));
  }
  pieces[6][0] = pieces[6][(100 << 20) - 1] = std::byte{1};  // the ends of a piece of its own
}

TEST(Arena, MovesWithItsPieces) {
  Arena from;
  std::byte* piece = from.allocate(10);
  *piece = std::byte{9};
  Arena to = std::move(from);
  EXPECT_EQ(*piece, std::byte{9});
  EXPECT_NE(to.allocate(10), piece);
}

TEST(Arena, AfterClearTheSamePiecesLieInTheSameMemory) {
  Arena arena;
  const size_t sizes[] = {40 << 20, 100 << 20, 40 << 20, 70 << 20, 7};
  std::vector<std::byte*> first, again, shuffled;
  for (const size_t size : sizes) first.push_back(arena.allocate(size));
  arena.clear();
  for (const size_t size : sizes) again.push_back(arena.allocate(size));
  EXPECT_EQ(first, again);
  arena.clear();
  for (const size_t i : {4, 2, 0, 1, 3}) shuffled.push_back(arena.allocate(sizes[i]));
  EXPECT_EQ(shuffled[3], first[1]);
  EXPECT_EQ(shuffled[4], first[3]);
}

TEST(Arena, TooMuchIsAnError) {
  Arena arena;
  EXPECT_THROW(arena.allocate(size_t{1} << 60), Error);
}

}  // namespace
}  // namespace karat::base
