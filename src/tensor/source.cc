#include "tensor/source.h"

#include "base/error.h"
#include "base/text.h"

namespace karat::tensor {

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
    throw base::fail(base::ErrorKind::bad_input, "tensor '%s' is missing",
                     base::printable(name).c_str());
  }
  return *tensor;
}

}  // namespace karat::tensor
