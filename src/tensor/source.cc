#include "tensor/source.h"

#include "base/error.h"
#include "base/text.h"

namespace karat::tensor {

int64_t TensorInfo::bytes() const {
  int64_t total = 0;
  if (__builtin_mul_overflow(row_bytes(), shape.rows(), &total)) {
    throw base::fail(base::ErrorKind::bad_input, "%s: shape %s has 2^63 bytes or more",
                     base::printable(name).c_str(), shape.str().c_str());
  }
  return total;
}

std::string TensorSource::place_of(const TensorInfo& tensor) const {
  const std::string file = origin();
  return (file.empty() ? "" : base::printable(file) + ": ") + "tensor '" +
         base::printable(tensor.name) + "'";
}

void TensorSource::read_expert(const TensorInfo& tensor, int64_t expert,
                               std::span<std::byte> out) const {
  const int64_t experts = tensor.shape.experts();
  CHECK(expert >= 0 && expert < experts);
  const int64_t rows = tensor.shape.rows() / experts;
  read_rows(tensor, expert * rows, rows, out);
}

const TensorInfo* TensorSource::find(std::string_view name) const {
  std::call_once(index_once_, [&] {
    for (size_t i = 0; i < tensors().size(); ++i) index_.emplace(tensors()[i].name, i);
  });
  const auto it = index_.find(name);
  return it == index_.end() ? nullptr : &tensors()[it->second];
}

const TensorInfo& TensorSource::at(std::string_view name) const {
  const TensorInfo* tensor = find(name);
  if (tensor == nullptr) {
    throw base::fail(base::ErrorKind::bad_input, "%s is missing",
                     place_of({std::string(name), {}, {}}).c_str());
  }
  return *tensor;
}

}  // namespace karat::tensor
