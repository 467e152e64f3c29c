#include "tensor/shape.h"

#include "base/error.h"

namespace karat::tensor {

Shape::Shape(std::vector<int64_t> dims) : dims_(std::move(dims)) {
  if (dims_.size() > kDimsMax) {
    throw base::fail(base::ErrorKind::bad_input, "%zu dimensions are more than %d", dims_.size(),
                     kDimsMax);
  }
  bool zero = false;
  for (const int64_t dim : dims_) {
    if (dim < 0)
      throw base::fail(base::ErrorKind::bad_input, "negative dimension in %s", str().c_str());
    zero = zero || dim == 0;
  }
  for (const int64_t dim : dims_) {
    if (zero) break;
    if (__builtin_mul_overflow(elements_, dim, &elements_)) {
      throw base::fail(base::ErrorKind::bad_input, "shape %s has 2^63 elements or more",
                       str().c_str());
    }
  }
  if (zero) elements_ = 0;
}

std::string Shape::str() const {
  std::string text = "[";
  for (size_t i = 0; i < dims_.size(); ++i) text += (i ? ", " : "") + std::to_string(dims_[i]);
  return text + "]";
}

}  // namespace karat::tensor
