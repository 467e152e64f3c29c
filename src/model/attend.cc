#include "model/attend.h"

#include <algorithm>

#include "model/scratch.h"

namespace karat::model {
namespace {

// Rows of the cache that are in use together: 256 KiB of floats at 256 columns, half of an L2.
constexpr int64_t kBlockRows = 256;

// Calls body(first row, rows, floats [rows, dim]) on the cache's rows that are seen, block by
// block.
template <class Body>
void for_blocks(const kernels::KernelTable& kernels, const AttendArgs& a, const CacheRows& cache,
                const Body& body) {
  const int64_t length = a.length + a.positions - 1;
  const Scratch decoded(static_cast<size_t>(std::min(length, kBlockRows) * a.dim));
  for (int64_t first = 0; first < length; first += kBlockRows) {
    const int64_t rows = std::min(kBlockRows, length - first);
    cache.read(kernels, first, rows, a.col, a.dim, decoded.get());
    body(first, rows, decoded.get());
  }
}

}  // namespace

void attend(const kernels::KernelTable& kernels, const AttendArgs& a) {
  const int64_t queries = a.positions * a.heads;
  const int64_t length = a.length + a.positions - 1;
  const Scratch scores(static_cast<size_t>(queries * length));
  for_blocks(kernels, a, a.k, [&](int64_t first, int64_t rows, const float* k) {
    kernels.gemm_f32({a.q, a.dim, queries, k, a.dim, rows, a.dim, scores.get() + first, length});
  });
  for (int64_t i = 0; i < queries; ++i) {
    kernels.softmax(scores.get() + i * length, a.length + i / a.heads, a.scale);
  }
  std::fill_n(a.o, queries * a.dim, 0.0F);
  // Rows [begin, end) of the cache, which lie in the block, for the queries of some positions.
  for_blocks(kernels, a, a.v, [&](int64_t first, int64_t rows, const float* v) {
    const auto add = [&](int64_t position, int64_t positions, int64_t begin, int64_t end) {
      if (begin >= end) return;
      const int64_t query = position * a.heads;
      kernels.panel({scores.get() + query * length + begin, length, 1, v + (begin - first) * a.dim,
                     a.dim, a.o + query * a.dim, a.dim, positions * a.heads, end - begin, a.dim});
    };
    add(0, a.positions, first, std::min(first + rows, a.length));
    for (int64_t p = 1; p < a.positions; ++p) {
      add(p, 1, std::max(first, a.length), std::min(first + rows, a.length + p));
    }
  });
}

}  // namespace karat::model
