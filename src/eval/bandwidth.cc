#include "eval/bandwidth.h"

#include <algorithm>
#include <chrono>
#include <numeric>
#include <vector>

#include "base/arena.h"
#include "base/error.h"

namespace karat::eval {

namespace {

// `count` is a multiple of 8, a cache line. Prefetching every line a page ahead is what it takes:
// the hardware's own read-ahead ends with each 4 KiB page.
uint64_t sum_of(const uint64_t* words, size_t count) {
  constexpr size_t kAhead = 512;
  typedef uint64_t Lanes __attribute__((vector_size(16)));
  Lanes a{}, b{}, c{}, d{};  // four sums, so that additions do not wait for each other
  const auto* lanes = reinterpret_cast<const Lanes*>(words);
  for (const Lanes* end = lanes + count / 2; lanes != end; lanes += 4) {
    __builtin_prefetch(lanes + kAhead / 2);
    a += lanes[0];
    b += lanes[1];
    c += lanes[2];
    d += lanes[3];
  }
  const Lanes total = a + b + c + d;
  return total[0] + total[1];
}

}  // namespace

double read_bandwidth(base::ThreadPool& pool, uint64_t bytes, int passes) {
  const auto parts = static_cast<uint64_t>(pool.size());
  const uint64_t part = bytes / parts / 64 * 8;  // words
  CHECK(part > 0 && passes > 0);
  base::Arena arena;  // its pages are written first by the threads that will read them
  auto* const words = reinterpret_cast<uint64_t*>(arena.allocate(parts * part * 8));
  const auto begin = [&](int64_t index) { return words + static_cast<uint64_t>(index) * part; };
  pool.for_each(pool.size(), [&](int64_t index, int) { std::fill_n(begin(index), part, 1); });
  double best = 0;
  std::vector<uint64_t> sums(parts);
  for (int pass = 0; pass < passes; ++pass) {
    const auto start = std::chrono::steady_clock::now();
    pool.for_each(pool.size(), [&](int64_t index, int) {
      sums[static_cast<size_t>(index)] = sum_of(begin(index), part);
    });
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    for (const uint64_t sum : sums) CHECK(sum == part);  // every word was read
    best = std::max(best, static_cast<double>(parts * part * 8) / took.count());
  }
  return best;
}

}  // namespace karat::eval
