#include "codec/lattice_grids.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string_view>

namespace karat::codec {
namespace {

struct Expected {
  std::string_view name;
  std::span<const uint16_t> points;
  size_t size;
  int coords;
  int levels;
  bool even;  // only even sums of level numbers
};

int level_of(const Expected& grid, uint16_t point, int coordinate) {
  const int bits = grid.coords == 8 ? 2 : 3;
  return point >> (bits * coordinate) & ((1 << bits) - 1);
}

// The stored lists' values are checked through the golden rows; these are properties of each list.
TEST(LatticeGrids, SizesOrderLevelsAndParity) {
  for (const Expected& grid : {Expected{"2x256", kGrid2x256, 256, 8, 3, true},
                               Expected{"2x512", kGrid2x512, 512, 8, 3, true},
                               Expected{"2x1024", kGrid2x1024, 1024, 8, 3, true},
                               Expected{"1x2048", kGrid1x2048, 2048, 8, 3, false},
                               Expected{"3x256", kGrid3x256, 256, 4, 8, true},
                               Expected{"3x512", kGrid3x512, 512, 4, 8, false}}) {
    SCOPED_TRACE(grid.name);
    ASSERT_EQ(grid.points.size(), grid.size);
    EXPECT_TRUE(std::is_sorted(grid.points.begin(), grid.points.end(), std::less_equal<>()));
    size_t odd = 0;
    std::set<int> seen;
    for (const uint16_t point : grid.points) {
      int sum = 0;
      for (int j = 0; j < grid.coords; ++j) {
        const int level = level_of(grid, point, j);
        EXPECT_LT(level, grid.levels);
        seen.insert(j * 8 + level);
        sum += level;
      }
      odd += static_cast<size_t>(sum % 2);
    }
    // Every coordinate takes every level.
    EXPECT_EQ(seen.size(), static_cast<size_t>(grid.coords * grid.levels));
    EXPECT_EQ(odd == 0, grid.even);
  }
}

}  // namespace
}  // namespace karat::codec
