#include "calib/gram.h"

#include <algorithm>
#include <array>

#include "base/error.h"
#include "base/half.h"
#include "kernels/dispatch.h"

namespace karat::calib {

namespace {

constexpr int64_t kTile = 128;  // features of a tile: its float32 sums are 64 KiB
constexpr int64_t kStrip = 64;  // columns that are transposed together

}  // namespace

// The stride is no power of two, or the columns of a strip would share a few sets of the cache.
Gram::Gram(int64_t columns, int64_t block) : columns_(columns), block_(block), stride_(block + 32) {
  CHECK(columns >= 1 && block >= 32 && block % 32 == 0);
  pending_.resize(static_cast<size_t>(columns * stride_));
  sum_.resize(static_cast<size_t>(columns * columns));
}

template <class Element>
void Gram::put(int64_t count, base::ThreadPool& pool, const Element& element) {
  for (int64_t done = 0; done < count;) {
    const int64_t rows = std::min(count - done, block_ - filled_);
    const auto strip = [&](int64_t index, int) {
      const int64_t first = index * kStrip, last = std::min(first + kStrip, columns_);
      for (int64_t r = 0; r < rows; ++r) {
        uint16_t* out = pending_.data() + filled_ + r;
        for (int64_t c = first; c < last; ++c) out[c * stride_] = element(done + r, c);
      }
    };
    const int64_t strips = (columns_ + kStrip - 1) / kStrip;
    if (rows * columns_ < (1 << 15)) {
      for (int64_t i = 0; i < strips; ++i) strip(i, 0);
    } else {
      pool.for_each(strips, strip);
    }
    filled_ += rows;
    done += rows;
    rows_ += rows;
    if (filled_ == block_) flush(pool);
  }
}

void Gram::add(const float* rows, int64_t ld, int64_t count, base::ThreadPool& pool) {
  put(count, pool, [&](int64_t r, int64_t c) { return base::f32_to_bf16(rows[r * ld + c]); });
}

void Gram::add(std::span<const uint16_t* const> rows, base::ThreadPool& pool) {
  put(static_cast<int64_t>(rows.size()), pool,
      [&](int64_t r, int64_t c) { return rows[static_cast<size_t>(r)][c]; });
}

void Gram::flush(base::ThreadPool& pool) {
  if (filled_ == 0) return;
  const int64_t k = (filled_ + 31) / 32 * 32;
  for (int64_t c = 0; filled_ < k && c < columns_; ++c) {
    std::fill_n(pending_.data() + c * stride_ + filled_, k - filled_, uint16_t{0});
  }
  const int64_t side = (columns_ + kTile - 1) / kTile;
  pool.for_each(side * (side + 1) / 2, [&](int64_t index, int) {
    int64_t i = 0;  // tile (i, j) of the lower triangle
    while ((i + 1) * (i + 2) / 2 <= index) ++i;
    const int64_t j = index - i * (i + 1) / 2;
    const int64_t rows = std::min(kTile, columns_ - i * kTile);
    const int64_t cols = std::min(kTile, columns_ - j * kTile);
    std::array<float, kTile * kTile> products;
    kernels::table().gemm_bf16_pairs({pending_.data() + i * kTile * stride_, stride_, rows,
                                      pending_.data() + j * kTile * stride_, stride_, cols, k,
                                      products.data(), kTile});
    for (int64_t r = 0; r < rows; ++r) {
      double* out = sum_.data() + (i * kTile + r) * columns_ + j * kTile;
      const float* in = products.data() + r * kTile;
      if (empty_) {
        for (int64_t c = 0; c < cols; ++c) out[c] = static_cast<double>(in[c]);
      } else {
        for (int64_t c = 0; c < cols; ++c) out[c] += static_cast<double>(in[c]);
      }
    }
  });
  filled_ = 0;
  empty_ = false;
}

std::vector<double>& Gram::finish(base::ThreadPool& pool) {
  flush(pool);
  if (empty_) std::fill(sum_.begin(), sum_.end(), 0.0);
  empty_ = false;
  // Tile by tile, so that columns are read from a cache.
  const int64_t side = (columns_ + kStrip - 1) / kStrip;
  pool.for_each(side, [&](int64_t strip, int) {
    const int64_t first = strip * kStrip, last = std::min(first + kStrip, columns_);
    for (int64_t column = first; column < columns_; column += kStrip) {
      const int64_t end = std::min(column + kStrip, columns_);
      for (int64_t r = first; r < last; ++r) {
        for (int64_t c = std::max(column, r + 1); c < end; ++c) {
          sum_[static_cast<size_t>(r * columns_ + c)] = sum_[static_cast<size_t>(c * columns_ + r)];
        }
      }
    }
  });
  return sum_;
}

void Gram::clear() {
  rows_ = filled_ = 0;
  empty_ = true;
}

}  // namespace karat::calib
