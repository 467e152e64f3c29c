// A TensorSource over another in which single tensors are missing or replaced. All edits come
// before the first look-up, as a source's table may not change.
#pragma once

#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "base/error.h"
#include "tensor/source.h"

namespace karat::test {

class EditedSource : public tensor::TensorSource {
 public:
  explicit EditedSource(const tensor::TensorSource& base) : base_(base), tensors_(base.tensors()) {}

  void remove(const std::string& name) {
    std::erase_if(tensors_, [&](const tensor::TensorInfo& info) { return info.name == name; });
  }
  // Adds the tensor, or replaces the one of the same name.
  void set(const std::string& name, tensor::DType dtype, const tensor::Shape& shape,
           std::vector<std::byte> bytes) {
    remove(name);
    tensors_.push_back({name, dtype, shape});
    CHECK(static_cast<int64_t>(bytes.size()) == tensors_.back().bytes());
    replaced_[name] = std::move(bytes);
  }
  std::vector<std::byte> bytes_of(const std::string& name) const {
    const tensor::TensorInfo& info = base_.at(name);
    std::vector<std::byte> bytes(static_cast<size_t>(info.bytes()));
    base_.read(info, bytes);
    return bytes;
  }

  const std::vector<tensor::TensorInfo>& tensors() const override { return tensors_; }
  void read_rows(const tensor::TensorInfo& tensor, int64_t row_begin, int64_t row_count,
                 std::span<std::byte> out) const override {
    const auto found = replaced_.find(tensor.name);
    if (found == replaced_.end()) {
      base_.read_rows(base_.at(tensor.name), row_begin, row_count, out);
    } else {
      std::memcpy(out.data(), found->second.data() + row_begin * tensor.row_bytes(), out.size());
    }
  }

 private:
  const tensor::TensorSource& base_;
  std::vector<tensor::TensorInfo> tensors_;
  std::map<std::string, std::vector<std::byte>> replaced_;
};

}  // namespace karat::test
