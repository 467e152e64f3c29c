// A TensorSource over tensors held in memory, for tests: shapes alone, or with float data.
#pragma once

#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "base/error.h"
#include "tensor/source.h"

namespace karat::test {

class MemorySource : public tensor::TensorSource {
 public:
  // Shape only; reading it gives zeros.
  void add(std::string name, tensor::DType dtype, tensor::Shape shape) {
    tensors_.push_back({std::move(name), dtype, std::move(shape)});
  }
  void add_f32(const std::string& name, tensor::Shape shape, const std::vector<float>& values) {
    CHECK(static_cast<int64_t>(values.size()) == shape.elements());
    std::vector<std::byte>& bytes = data_[name];
    bytes.resize(values.size() * 4);
    std::memcpy(bytes.data(), values.data(), bytes.size());
    add(name, tensor::DType::f32, std::move(shape));
  }

  const std::vector<tensor::TensorInfo>& tensors() const override { return tensors_; }
  void read_rows(const tensor::TensorInfo& tensor, int64_t row_begin, int64_t row_count,
                 std::span<std::byte> out) const override {
    const auto bytes = static_cast<size_t>(row_count * tensor.row_bytes());
    CHECK(out.size() == bytes);
    const auto at = data_.find(tensor.name);
    if (at == data_.end()) {
      std::memset(out.data(), 0, bytes);
    } else {
      std::memcpy(out.data(), at->second.data() + row_begin * tensor.row_bytes(), bytes);
    }
  }

 private:
  std::vector<tensor::TensorInfo> tensors_;
  std::map<std::string, std::vector<std::byte>> data_;
};

}  // namespace karat::test
