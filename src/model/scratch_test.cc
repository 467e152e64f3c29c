#include "model/scratch.h"

#include <gtest/gtest.h>

#include <atomic>
#include <vector>

namespace karat::model {
namespace {

TEST(Scratch, FreedMemoryServesTheNextOfAboutThatSize) {
  const float* first = nullptr;
  {
    Rows a(10, 100);
    first = a.data();
  }
  const Rows b(9, 100);
  EXPECT_EQ(b.data(), first);
  const Rows c(9, 100);  // the one above is in use
  EXPECT_NE(c.data(), first);
  const Rows small(1, 20);  // would waste most of a large one
  EXPECT_NE(small.data(), first);
}

TEST(Scratch, BuffersInUseAreDistinctAndMovable) {
  Rows a(5, 7);
  a.row(4)[6] = 3;
  Rows b = std::move(a);
  EXPECT_EQ(b.row(4)[6], 3);
  EXPECT_EQ(b.cols(), 7);
  std::vector<Rows> many;
  for (int i = 0; i < 100; ++i) {
    many.emplace_back(3, 50);
    many.back().row(2)[49] = static_cast<float>(i);
  }
  for (int i = 0; i < 100; ++i) EXPECT_EQ(many[static_cast<size_t>(i)].row(2)[49], i);
}

TEST(Scratch, KeepsABoundedAmount) {
  constexpr size_t kThird = kScratchKept / 3;
  std::vector<Rows> large;
  for (int i = 0; i < 4; ++i) large.emplace_back(1, static_cast<int64_t>(kThird / sizeof(float)));
  EXPECT_LE(scratch_kept(), kScratchKept);
  large.clear();
  EXPECT_LE(scratch_kept(), kScratchKept);
  EXPECT_GE(scratch_kept(), 2 * kThird);
  const size_t before = scratch_kept();
  { const Rows huge(1, static_cast<int64_t>(kScratchKept)); }
  EXPECT_EQ(scratch_kept(), before);  // too large to keep
  EXPECT_EQ(Rows(0, 5).data(), nullptr);
}

TEST(ForPieces, CoversEverythingOnce) {
  base::ThreadPool pool(3);
  for (const int64_t count : {0, 1, 5, 1000}) {
    for (const int64_t cost : {0, 1, 1 << 20}) {
      std::vector<std::atomic<int>> seen(static_cast<size_t>(count));
      for_pieces(pool, count, cost, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) ++seen[static_cast<size_t>(i)];
      });
      for (const std::atomic<int>& times : seen) EXPECT_EQ(times, 1);
    }
  }
}

}  // namespace
}  // namespace karat::model
