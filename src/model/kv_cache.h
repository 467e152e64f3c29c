// Rows of keys or of values that an attention block keeps of a sequence, in any storage type.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/table.h"
#include "tensor/dtype.h"

namespace karat::model {

// [rows, width], each row encoded by the type's codec when it is put in.
class CacheRows {
 public:
  CacheRows() = default;
  // Error{usage} if the type cannot hold rows that are cut into heads of `head_dim` columns.
  CacheRows(tensor::DType type, int64_t width, int64_t head_dim);

  tensor::DType type() const { return type_; }
  int64_t rows() const { return rows_; }
  int64_t width() const { return width_; }
  // Cuts rows off, or appends rows that are not yet set.
  void resize(int64_t rows);
  // Memory for so many rows: until then resize() moves nothing. Pages are taken as rows are set.
  void reserve(int64_t rows) { bytes_.reserve(static_cast<size_t>(rows * row_bytes_)); }
  // Encodes `width` values into a row; one with a value that the type cannot hold becomes NaN
  // throughout. Different rows may be set from several threads.
  void set(int64_t row, const float* values);
  // Rows [first, first + count), columns [col, col + cols), the columns being whole heads, decoded:
  // out [count, cols].
  void read(const kernels::KernelTable& kernels, int64_t first, int64_t count, int64_t col,
            int64_t cols, float* out) const;
  // All rows, decoded.
  std::vector<float> values() const;

  // Bytes of one row.
  static int64_t row_bytes(tensor::DType type, int64_t width);
  bool operator==(const CacheRows&) const = default;

 private:
  tensor::DType type_ = tensor::DType::f32;
  int64_t width_ = 0, row_bytes_ = 0, rows_ = 0;
  std::vector<std::byte> bytes_;
};

// How keys and values are stored.
struct CacheTypes {
  tensor::DType k = tensor::DType::f32;
  tensor::DType v = tensor::DType::f32;
};

}  // namespace karat::model
