// Writing GGUF version 3. The whole layout is known before the first byte of data, so tensors may
// arrive in any order and from several threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "base/file.h"
#include "format/metadata.h"
#include "tensor/source.h"

namespace karat::format {

struct GgufWriteOptions {
  // ggml's own writer (llama-quantize, llama-imatrix) stores no trailing dimensions of 1: a PyTorch
  // shape [1, 64] becomes one dimension. The reference converter stores shapes as they are.
  bool drop_unit_dims = false;
  // Starts a new shard rather than have more than this many padded tensor bytes, or tensors, in
  // one; 0 is no limit. A tensor larger than the limit gets a shard of its own.
  uint64_t shard_bytes_max = 0;
  size_t shard_tensors_max = 0;
  // The first shard has the keys and no tensors.
  bool no_tensor_first_shard = false;
  // Tensors of each shard, if not empty: the limits above do not count then.
  std::vector<size_t> shard_tensors = {};
};

// Where everything goes. general.alignment in the metadata is honoured (32 without it).
class GgufLayout {
 public:
  struct Shard {
    size_t tensor_begin = 0, tensor_end = 0;  // indices into the list of tensors
    uint64_t data_offset = 0;
    uint64_t file_bytes = 0;
    std::string head;  // everything before data_offset, padding included
  };

  // Throws Error{bad_input} for what GGUF cannot hold: duplicate or too long names (63 bytes), more
  // than four dimensions, dimensions of 0, a bad general.alignment.
  GgufLayout(const Metadata& metadata, const std::vector<tensor::TensorInfo>& tensors,
             const GgufWriteOptions& options = {});

  const std::vector<Shard>& shards() const { return shards_; }
  uint64_t alignment() const { return alignment_; }
  // Offset of a tensor in the file of its shard.
  uint64_t offset(size_t tensor) const { return offsets_[tensor]; }
  size_t shard_of(size_t tensor) const { return shard_of_[tensor]; }
  // Bytes of all files together.
  uint64_t file_bytes() const;
  // The files that will be written for an output named `path`: itself, or, for several shards,
  // PREFIX-0000i-of-0000N.gguf with PREFIX = path without its ".gguf".
  std::vector<std::string> paths(const std::string& path) const;

 private:
  void place_tensors(const std::vector<tensor::TensorInfo>& tensors,
                     const GgufWriteOptions& options);

  uint64_t alignment_ = 0;
  std::vector<Shard> shards_;
  std::vector<uint64_t> offsets_;
  std::vector<size_t> shard_of_;
};

// The files appear under their names at commit(); destroyed before that, nothing is left. Does not
// check for existing files (base::check_output over layout().paths() does). Errors as OutputFile's.
class GgufWriter {
 public:
  // `leftover` says what happens to partial files that a killed writer left.
  GgufWriter(const std::string& path, const Metadata& metadata,
             std::vector<tensor::TensorInfo> tensors, const GgufWriteOptions& options = {},
             base::OutputFile::Leftover leftover = base::OutputFile::Leftover::emptied);
  ~GgufWriter();

  const GgufLayout& layout() const { return layout_; }
  const std::vector<tensor::TensorInfo>& tensors() const { return tensors_; }

  // Writes whole rows of tensors()[tensor] (seen as a [rows, cols] matrix) from row_begin on; their
  // number follows from bytes.size(). Thread-safe. No row may be written twice (internal error).
  void write_rows(size_t tensor, int64_t row_begin, std::span<const std::byte> bytes);
  void write(size_t tensor, std::span<const std::byte> bytes) { write_rows(tensor, 0, bytes); }

  // Counts rows as written that are in a kept partial file already.
  void note_rows(size_t tensor, int64_t row_begin, int64_t row_end);
  // Other values, known only now, for the metadata; they must take as many bytes.
  void set_metadata(const Metadata& metadata);

  // Writes heads and padding and makes the files durable under the names of partial_paths().
  // Internal error if rows are missing.
  void finish();
  // After finish(), which it calls if that was not done: gives the files their names.
  void commit();
  std::vector<std::string> partial_paths() const;
  // One per shard, for a journal behind the data: commit() cuts that off.
  base::OutputFile& file(size_t shard) { return *files_[shard]; }
  // Makes durable what has been written so far.
  void sync();
  // As OutputFile::keep_partial, for all files.
  void keep_partial();

 private:
  // The rows of one tensor that have been written, as disjoint ranges begin -> end.
  using Ranges = std::map<int64_t, int64_t>;

  GgufWriteOptions options_;
  std::vector<tensor::TensorInfo> tensors_;
  GgufLayout layout_;
  std::vector<std::unique_ptr<base::OutputFile>> files_;
  bool finished_ = false;
  std::mutex mutex_;
  std::vector<Ranges> written_;  // guarded by mutex_
};

}  // namespace karat::format
