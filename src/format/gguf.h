// GGUF files as tensors and metadata.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "format/file_source.h"
#include "format/metadata.h"

namespace karat::format {

inline constexpr const char* kSplitNo = "split.no";
inline constexpr const char* kSplitCount = "split.count";
inline constexpr const char* kSplitTensorsCount = "split.tensors.count";

// One GGUF file, or all shards of a split one (PREFIX-00001-of-0000N.gguf: given the first, the
// others are opened beside it). Every check is made on construction: Error{bad_input} or
// {unsupported} naming file, place and remedy. Tensors are in file order, shard after shard.
class GgufSource : public FileSource {
 public:
  explicit GgufSource(const std::string& path);

  // Of the first shard; the split.* keys are still in it.
  const Metadata& metadata() const { return metadata_; }
  uint64_t alignment() const { return alignment_; }

 private:
  void open_shards(const std::string& path, uint64_t count);
  // Those of the file opened last.
  void add_tensors(std::vector<tensor::TensorInfo> tensors, const std::vector<uint64_t>& offsets);

  Metadata metadata_;
  uint64_t alignment_ = 0;
};

// True for a file that begins as GGUF files do, whatever comes after. Errors as base::File's.
bool is_gguf(const std::string& path);

// Removes the three split.* keys: for writing as one file what was read from several.
void drop_split_keys(Metadata& metadata);

// The name of shard `number` (from 0) of `count`: PREFIX-00001-of-00003.gguf.
std::string shard_path(const std::string& prefix, uint64_t number, uint64_t count);

}  // namespace karat::format
