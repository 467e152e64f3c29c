// safetensors files and sharded checkpoints as tensors under their raw names.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "format/file_source.h"

namespace karat::format {

inline constexpr uint64_t kSafetensorsHeadBytesMax = 100'000'000;  // the reference reader's limit

// A tensor of the header. `dtype` is a name of the safetensors format ("BF16", "F8_E4M3", ...), not
// necessarily one that tensor::DType knows.
struct SafetensorsEntry {
  std::string name;
  std::string dtype;
  tensor::Shape shape;
  uint64_t offset = 0;  // from the start of the file
  uint64_t bytes = 0;
};

struct SafetensorsHead {
  std::vector<SafetensorsEntry> entries;        // by offset
  std::map<std::string, std::string> metadata;  // __metadata__
};

// Parses and checks the head of a file of `file_bytes` bytes whose first bytes are `head` (at least
// the 8 bytes of the length and the JSON). Error{bad_input} "NAME: ..." unless all holds: header
// length within the file and 100 MB, starts with '{', JSON without duplicate keys, known dtypes,
// every range equal to shape x dtype, ranges consecutive without overlap or hole, and the whole
// data section covered.
SafetensorsHead parse_safetensors_head(std::span<const std::byte> head, uint64_t file_bytes,
                                       const std::string& name);

// A checkpoint as it lies on disk: a .safetensors file, a model.safetensors.index.json, or a folder
// with either (the index wins). Construction checks everything about every shard: Error{bad_input}
// or {unsupported} naming file, place and remedy. Tensors are in file order, shards by name.
class SafetensorsSource : public FileSource {
 public:
  explicit SafetensorsSource(const std::string& path);

  // Tensors that are well-formed but of a type karat has no name for (8-bit floats, packed 4-bit
  // integers, ...): they are not among tensors(). A checkpoint that is already quantized has them.
  struct Foreign {
    std::string name;
    std::string dtype;
    tensor::Shape shape;
    uint32_t file = 0;  // index into files()
  };
  const std::vector<Foreign>& foreign() const { return foreign_; }
  // Error{unsupported} naming the tensor, its type and its file ("... already quantized; give the
  // original BF16 checkpoint").
  [[noreturn]] void refuse(const Foreign& tensor) const;

  // __metadata__ of all shards together (the first shard's value where they differ).
  const std::map<std::string, std::string>& metadata() const { return metadata_; }

 private:
  void open_index(const std::string& folder, const std::string& index_path);
  void open_file(const std::string& path);

  std::vector<Foreign> foreign_;
  std::map<std::string, std::string> metadata_;
};

// Tensors in memory to be written in this order. `bytes` must be the tensor's bytes.
struct SafetensorsItem {
  tensor::TensorInfo info;
  std::span<const std::byte> bytes;
};
// Writes a safetensors file through OutputFile. Error{unsupported} for block-quantized types.
void write_safetensors(const std::string& path, std::span<const SafetensorsItem> items,
                       const std::map<std::string, std::string>& metadata = {});
// The same into a file that the caller commits.
void write_safetensors(base::OutputFile& file, std::span<const SafetensorsItem> items,
                       const std::map<std::string, std::string>& metadata = {});

}  // namespace karat::format
