// Shapes in PyTorch order: the last dimension is contiguous (GGUF's ne reversed).
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <vector>

namespace karat::tensor {

// At most kDimsMax dimensions, each >= 0, with a product below 2^63 (checked on construction:
// Error{bad_input}). No dimensions is a scalar of one element.
class Shape {
 public:
  static constexpr int kDimsMax = 8;
  Shape() = default;
  Shape(std::initializer_list<int64_t> dims) : Shape(std::vector<int64_t>(dims)) {}
  explicit Shape(std::vector<int64_t> dims);

  int rank() const { return static_cast<int>(dims_.size()); }
  int64_t operator[](int i) const { return dims_[static_cast<size_t>(i)]; }
  const std::vector<int64_t>& dims() const { return dims_; }
  int64_t elements() const { return elements_; }
  // As a matrix: the last dimension, and the product of the others.
  int64_t cols() const { return dims_.empty() ? 1 : dims_.back(); }
  int64_t rows() const { return cols() == 0 ? 0 : elements_ / cols(); }
  // As a stack of matrices [experts, rows, cols]: 1 for up to two dimensions, 0 without elements.
  int64_t experts() const {
    if (rank() < 3) return 1;
    return elements_ == 0 ? 0 : rows() / dims_[dims_.size() - 2];
  }
  std::string str() const;  // "[256, 512, 2048]"
  friend bool operator==(const Shape& a, const Shape& b) { return a.dims_ == b.dims_; }

 private:
  std::vector<int64_t> dims_;
  int64_t elements_ = 1;
};

}  // namespace karat::tensor
