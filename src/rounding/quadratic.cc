#include "rounding/quadratic.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "base/error.h"
#include "kernels/dispatch.h"

namespace karat::rounding {

namespace {

constexpr int64_t kBlock = 128;  // columns factored at a time
constexpr int64_t kStrip = 64;   // rows of one task
using Square = std::vector<double>;

// Cholesky of the lower triangle of a [n, n] block, in place; a pivot that rounding made too small
// is raised to what it would be with all of the diagonal's precision lost.
void factor_block(Square& a, int64_t n, double floor) {
  for (int64_t j = 0; j < n; ++j) {
    double* row = &a[static_cast<size_t>(j * n)];
    double pivot = row[j];
    for (int64_t k = 0; k < j; ++k) pivot -= row[k] * row[k];
    row[j] = std::sqrt(std::max(pivot, floor));
    for (int64_t i = j + 1; i < n; ++i) {
      double* other = &a[static_cast<size_t>(i * n)];
      double sum = other[j];
      for (int64_t k = 0; k < j; ++k) sum -= other[k] * row[k];
      other[j] = sum / row[j];
    }
  }
}

// The inverse of a lower triangle [n, n].
Square invert_triangle(const Square& a, int64_t n) {
  Square inverse(static_cast<size_t>(n * n));
  const auto at = [&](int64_t i, int64_t j) { return static_cast<size_t>(i * n + j); };
  for (int64_t j = 0; j < n; ++j) {
    inverse[at(j, j)] = 1 / a[at(j, j)];
    for (int64_t i = j + 1; i < n; ++i) {
      double sum = 0;
      for (int64_t k = j; k < i; ++k) sum += a[at(i, k)] * inverse[at(k, j)];
      inverse[at(i, j)] = -sum / a[at(i, i)];
    }
  }
  return inverse;
}

// Cholesky of a [n, n] in place, lower triangle, left-looking: a block column first loses what the
// columns before it explain.
class Cholesky {
 public:
  Cholesky(std::vector<float>& a, int64_t n, base::ThreadPool& pool) : a_(a), n_(n), pool_(pool) {}

  void run() {
    for (int64_t begin = 0; begin < n_; begin += kBlock) {
      const int64_t width = std::min(kBlock, n_ - begin);
      subtract_before(begin, width);
      solve(begin, width);
    }
  }

 private:
  float* at(int64_t row, int64_t col) { return a_.data() + row * n_ + col; }

  void for_strips(int64_t begin, const std::function<void(int64_t row, int64_t rows)>& body) {
    pool_.for_each((n_ - begin + kStrip - 1) / kStrip, [&](int64_t strip, int) {
      const int64_t row = begin + strip * kStrip;
      body(row, std::min(kStrip, n_ - row));
    });
  }

  void subtract_before(int64_t begin, int64_t width) {
    if (begin == 0) return;
    for_strips(begin, [&](int64_t row, int64_t rows) {
      std::array<float, kStrip * kBlock> product;
      kernels::table().gemm_f32(
          {at(row, 0), n_, rows, at(begin, 0), n_, width, begin, product.data(), kBlock});
      for (int64_t r = 0; r < rows; ++r) {
        for (int64_t c = 0; c < width; ++c) {
          *at(row + r, begin + c) -= product[static_cast<size_t>(r * kBlock + c)];
        }
      }
    });
  }

  void solve(int64_t begin, int64_t width) {
    Square block(static_cast<size_t>(width * width));
    for (int64_t r = 0; r < width; ++r) {
      for (int64_t c = 0; c <= r; ++c) {
        block[static_cast<size_t>(r * width + c)] = static_cast<double>(*at(begin + r, begin + c));
      }
    }
    factor_block(block, width, kPivotMin);
    const Square inverse = invert_triangle(block, width);
    std::vector<float> narrow(inverse.begin(), inverse.end());
    for (int64_t r = 0; r < width; ++r) {
      for (int64_t c = 0; c < width; ++c) {
        *at(begin + r, begin + c) =
            c <= r ? static_cast<float>(block[static_cast<size_t>(r * width + c)]) : 0.0F;
      }
    }
    for_strips(begin + width, [&](int64_t row, int64_t rows) {
      std::array<float, kStrip * kBlock> product;
      kernels::table().gemm_f32(
          {at(row, begin), n_, rows, narrow.data(), width, width, width, product.data(), kBlock});
      for (int64_t r = 0; r < rows; ++r) {
        std::copy_n(&product[static_cast<size_t>(r * kBlock)], width, at(row + r, begin));
      }
    });
  }

  static constexpr double kPivotMin = 1e-6;  // of a diagonal whose mean is 1
  std::vector<float>& a_;
  int64_t n_;
  base::ThreadPool& pool_;
};

}  // namespace

std::vector<float> normalised(std::span<const double> hessian, int64_t columns, double damping,
                              base::ThreadPool& pool) {
  const int64_t n = columns;
  CHECK(n >= 1 && static_cast<int64_t>(hessian.size()) == n * n);
  double trace = 0;
  for (int64_t i = 0; i < n; ++i) trace += hessian[static_cast<size_t>(i * n + i)];
  const bool seen = trace > 0 && std::isfinite(trace);
  const double scale = seen ? static_cast<double>(n) / trace : 0;
  std::vector<float> out(hessian.size());
  pool.for_each(n, [&](int64_t i, int) {
    const auto row = static_cast<size_t>(i * n);
    for (size_t k = 0; k < static_cast<size_t>(n); ++k) {
      out[row + k] = static_cast<float>(hessian[row + k] * scale);
    }
    out[row + static_cast<size_t>(i)] += static_cast<float>(seen ? damping : 1);
  });
  return out;
}

Quadratic make_quadratic(std::span<const double> hessian, int64_t columns, double damping,
                         base::ThreadPool& pool) {
  const int64_t n = columns;
  Quadratic q;
  q.columns = n;
  q.hessian = normalised(hessian, columns, damping, pool);
  std::vector<float> reversed(q.hessian.rbegin(), q.hessian.rend());
  Cholesky(reversed, n, pool).run();
  // With the order reversed, H = L L^T has L = (A^T sqrt(D)): A_ik = L(n-1-k, n-1-i) / its pivot.
  q.feedback.resize(hessian.size());
  q.conditional.resize(static_cast<size_t>(n));
  pool.for_each(n, [&](int64_t i, int) {
    const int64_t column = n - 1 - i;
    const float pivot = reversed[static_cast<size_t>(column * n + column)];
    q.conditional[static_cast<size_t>(i)] = pivot * pivot;
    for (int64_t k = 0; k < i; ++k) {
      q.feedback[static_cast<size_t>(i * n + k)] =
          reversed[static_cast<size_t>((n - 1 - k) * n + column)] / pivot;
    }
    q.feedback[static_cast<size_t>(i * n + i)] = 1;
  });
  return q;
}

void output_errors(std::span<const float> hessian, int64_t columns, const float* errors,
                   int64_t count, double* out) {
  const int64_t n = columns;
  std::vector<float> products(static_cast<size_t>(count * n));
  kernels::table().gemm_f32({errors, n, count, hessian.data(), n, n, n, products.data(), n});
  for (int64_t r = 0; r < count; ++r) {
    double sum = 0;
    for (int64_t i = r * n; i < (r + 1) * n; ++i) {
      sum += static_cast<double>(errors[i]) * static_cast<double>(products[static_cast<size_t>(i)]);
    }
    out[r] = sum;
  }
}

}  // namespace karat::rounding
