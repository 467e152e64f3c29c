// Sums of outer products of rows: H = sum over rows x of x x^T.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/threads.h"

namespace karat::calib {

// Rows are rounded to bf16, so that each product is exact in float32 (8 bits times 8 bits).
// Products are added in float32 over kBlock rows (KernelTable::gemm_bf16_pairs), block sums in
// double: at full width a few million rows lose less than one rounding to bf16 does. Blocks are cut
// where the rows stand, not where calls begin: the bits depend on neither batches, threads nor
// instruction set. Only the lower triangle is computed.
class Gram {
 public:
  // `columns`: the rows' width n; `block`: rows per float32 sum, a multiple of 32.
  explicit Gram(int64_t columns, int64_t block = 1024);

  // rows [count, columns], row stride ld (elements).
  void add(const float* rows, int64_t ld, int64_t count, base::ThreadPool& pool);
  // Rows that are bf16 already, one after another by pointer.
  void add(std::span<const uint16_t* const> rows, base::ThreadPool& pool);

  int64_t columns() const { return columns_; }
  int64_t rows() const { return rows_; }  // added so far
  // The sum as a full symmetric matrix [columns, columns], which the caller may change until rows
  // are added again. The last block has been cut here.
  std::vector<double>& finish(base::ThreadPool& pool);
  // Begins anew, in the same memory.
  void clear();

 private:
  // Puts `count` rows into the block, element by element from element(row, column).
  template <class Element>
  void put(int64_t count, base::ThreadPool& pool, const Element& element);
  void flush(base::ThreadPool& pool);

  int64_t columns_, block_, stride_;
  int64_t rows_ = 0, filled_ = 0;
  std::vector<uint16_t> pending_;  // [columns, stride]: the block's rows, transposed
  std::vector<double> sum_;        // [columns, columns], lower triangle, once a block is in it
  bool empty_ = true;              // sum_ holds nothing yet
};

}  // namespace karat::calib
