// TensorSource: the only way anyone above obtains weights. A file, a checkpoint presented under
// canonical names, a half-quantized model in memory and a packed layout are all the same to
// callers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "tensor/dtype.h"
#include "tensor/shape.h"

namespace karat::tensor {

struct TensorInfo {
  std::string name;
  DType dtype = DType::f32;
  Shape shape;
  // Both throw Error{bad_input} if a row is not whole blocks or the bytes do not fit 63 bits.
  int64_t row_bytes() const { return tensor::row_bytes(dtype, shape.cols()); }
  int64_t bytes() const;
};

// Reads are const, may come from several threads at once, and throw Error{bad_input} or {io} naming
// file and tensor. A TensorInfo passed in must be one of tensors() (by address or by equal name).
class TensorSource {
 public:
  virtual ~TensorSource() = default;

  // In the source's own order (file order); names are unique. Stable for the object's life.
  virtual const std::vector<TensorInfo>& tensors() const = 0;

  // Copies rows [row_begin, row_begin + row_count) of the tensor seen as a [rows, cols] matrix, in
  // its stored dtype, into `out`, which must hold exactly row_count * row_bytes() bytes.
  virtual void read_rows(const TensorInfo& tensor, int64_t row_begin, int64_t row_count,
                         std::span<std::byte> out) const = 0;

  // The file or folder that messages name; empty if there is none.
  virtual std::string origin() const { return {}; }

  // Read-ahead: these rows are wanted soon. Never an error.
  virtual void will_read(const TensorInfo& tensor, int64_t row_begin, int64_t row_count) const {
    (void)tensor, (void)row_begin, (void)row_count;
  }

  // Null if there is no tensor of that name. Safe from several threads.
  const TensorInfo* find(std::string_view name) const;
  // Error{bad_input} "tensor 'x' is missing" if absent.
  const TensorInfo& at(std::string_view name) const;

  void read(const TensorInfo& tensor, std::span<std::byte> out) const {
    read_rows(tensor, 0, tensor.shape.rows(), out);
  }
  // "PATH: tensor 'x'", ready for a message.
  std::string place_of(const TensorInfo& tensor) const;
  // Matrix `expert` of a stack [experts, rows, cols].
  void read_expert(const TensorInfo& tensor, int64_t expert, std::span<std::byte> out) const;

 private:
  mutable std::once_flag index_once_;
  mutable std::unordered_map<std::string_view, size_t> index_;  // built at the first find()
};

}  // namespace karat::tensor
