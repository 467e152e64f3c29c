// Intermediates of the forward pass and loops over their rows.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>

#include "base/threads.h"

namespace karat::model {

// [rows, cols] floats, not initialised.
class Rows {
 public:
  Rows() = default;
  Rows(int64_t rows, int64_t cols)
      : cols_(cols),
        data_(std::make_unique_for_overwrite<float[]>(static_cast<size_t>(rows * cols))) {}

  int64_t cols() const { return cols_; }
  float* data() { return data_.get(); }
  const float* data() const { return data_.get(); }
  float* row(int64_t r) { return data_.get() + r * cols_; }
  const float* row(int64_t r) const { return data_.get() + r * cols_; }

 private:
  int64_t cols_ = 0;
  std::unique_ptr<float[]> data_;
};

// Calls body(begin, end) on pieces of [0, count), in parallel when the work (count * `cost`, in
// simple float operations) is worth waking threads.
template <class Body>
void for_pieces(base::ThreadPool& pool, int64_t count, int64_t cost, const Body& body) {
  if (count == 0) return;
  constexpr int64_t kGrain = 1 << 15;  // operations per piece: some 10 us, the price of a wake-up
  const int64_t worthwhile = std::max<int64_t>(count * std::max<int64_t>(cost, 1) / kGrain, 1);
  const int64_t pieces = std::min({count, worthwhile, int64_t{4} * pool.size()});
  pool.for_each(pieces, [&](int64_t piece, int) {
    body(count * piece / pieces, count * (piece + 1) / pieces);
  });
}

}  // namespace karat::model
