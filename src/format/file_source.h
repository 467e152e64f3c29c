// Tensors that lie as plain bytes in one or more files: what GGUF and safetensors have in common.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/file.h"
#include "tensor/source.h"

namespace karat::format {

// Reads are positioned reads into the caller's buffer; nothing is mapped or cached. Subclasses fill
// the tables in their constructors, after checking every place against its file's size.
class FileSource : public tensor::TensorSource {
 public:
  // Where the bytes of a tensor are: `offset` counts from the start of files()[file].
  struct Place {
    uint32_t file = 0;
    uint64_t offset = 0;
  };

  const std::vector<tensor::TensorInfo>& tensors() const final { return tensors_; }
  void read_rows(const tensor::TensorInfo& tensor, int64_t row_begin, int64_t row_count,
                 std::span<std::byte> out) const final;
  void will_read(const tensor::TensorInfo& tensor, int64_t row_begin,
                 int64_t row_count) const final;
  std::string origin() const override { return paths_.empty() ? "" : paths_.front(); }

  // The files' paths as opened, in shard order: what a receipt hashes and an output must not be.
  const std::vector<std::string>& files() const { return paths_; }
  // Sum of the files' sizes.
  uint64_t files_bytes() const;
  // `tensor` must be one of tensors().
  Place place(const tensor::TensorInfo& tensor) const { return places_[index_of(tensor)]; }

 protected:
  FileSource() = default;
  const base::File& add_file(base::File file);
  void add_tensor(tensor::TensorInfo tensor, Place place);
  // Error{bad_input} naming both files if a name occurs twice.
  void check_unique_names() const;

 private:
  size_t index_of(const tensor::TensorInfo& tensor) const;

  std::vector<base::File> files_;
  std::vector<std::string> paths_;
  std::vector<tensor::TensorInfo> tensors_;
  std::vector<Place> places_;  // parallel to tensors_
};

}  // namespace karat::format
