#include "eval/bandwidth.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace karat::eval {
namespace {

TEST(ReadBandwidth, IsMeasuredForAnyNumberOfThreads) {
  for (const int threads : {1, 2, 3}) {
    base::ThreadPool pool(threads);
    const double rate = read_bandwidth(pool, uint64_t{1} << 24, 2);
    EXPECT_GT(rate, 1e6);
    EXPECT_LT(rate, 1e15);
  }
}

TEST(ReadBandwidth, NeedsAtLeastALinePerThread) {
  base::ThreadPool pool(2);
  EXPECT_THROW(read_bandwidth(pool, 64, 1), base::Error);
  EXPECT_THROW(read_bandwidth(pool, 4096, 0), base::Error);
}

}  // namespace
}  // namespace karat::eval
