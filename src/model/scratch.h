// Intermediates of the forward pass and loops over their rows.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <utility>

#include "base/threads.h"

namespace karat::model {

// Memory for `count` floats, not initialised. Freed buffers are kept for the thread's next ones of
// about that size, up to kScratchKept bytes: a pass allocates the same sizes layer after layer, and
// fresh pages from the system cost more than most loops over them.
constexpr size_t kScratchKept = size_t{512} << 20;
// Bytes the calling thread keeps at the moment.
size_t scratch_kept();

// Large buffers ask for 2 MiB pages.
struct FreeFloats {
  void operator()(float* floats) const { std::free(floats); }
};
using Floats = std::unique_ptr<float[], FreeFloats>;

class Scratch {
 public:
  Scratch() = default;
  explicit Scratch(size_t count);
  ~Scratch();
  Scratch(Scratch&& other) noexcept { swap(other); }
  Scratch& operator=(Scratch&& other) noexcept {
    swap(other);
    return *this;
  }
  float* get() const { return data_.get(); }

 private:
  void swap(Scratch& other) noexcept {
    std::swap(capacity_, other.capacity_);
    std::swap(data_, other.data_);
  }
  size_t capacity_ = 0;
  Floats data_;
};

// [rows, cols] floats, not initialised.
class Rows {
 public:
  Rows() = default;
  Rows(int64_t rows, int64_t cols) : cols_(cols), data_(static_cast<size_t>(rows * cols)) {}

  int64_t cols() const { return cols_; }
  float* data() { return data_.get(); }
  const float* data() const { return data_.get(); }
  float* row(int64_t r) { return data_.get() + r * cols_; }
  const float* row(int64_t r) const { return data_.get() + r * cols_; }

 private:
  int64_t cols_ = 0;
  Scratch data_;
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
