// What stands before the tensor data in a GGUF file (versions 2 and 3, little-endian), checked
// against the file's size: nothing that comes out of here points outside the file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/file.h"
#include "format/metadata.h"
#include "tensor/source.h"

namespace karat::format {

inline constexpr uint64_t kGgufAlignment = 32;           // when general.alignment is absent
inline constexpr uint64_t kGgufAlignmentMax = 1u << 24;  // ours; the format has no limit
inline constexpr size_t kGgufNameMax = 63;               // GGML_MAX_NAME without its NUL
inline constexpr int kGgufDimsMax = 4;                   // GGML_MAX_DIMS
inline constexpr size_t kGgufKeyMax = 65535;             // GGUF specification
inline constexpr uint64_t kGgufHeadBytesMax = uint64_t{1} << 27;  // ours; 35B files have 15 MB
inline constexpr uint64_t kGgufEntriesMax = 1u << 20;  // ours; keys, and tensors, of one file

struct GgufHead {
  uint32_t version = 3;
  Metadata metadata;
  std::vector<tensor::TensorInfo> tensors;  // shapes in PyTorch order, as many dimensions as stored
  std::vector<uint64_t> offsets;            // of each tensor, from the start of the file
  uint64_t alignment = kGgufAlignment;
  uint64_t data_offset = 0;  // start of the data section
  uint64_t data_bytes = 0;   // its size, with the padding of the last tensor
};

// Reads and checks the head of a file. Memory is bounded by a small multiple of the bytes that are
// really there, time is linear. Throws Error{bad_input} or {unsupported}: "path: at byte n: ...".
// Beyond what ggml's reader checks (offsets exactly consecutive, padding of the last tensor
// present), refused are: names that are not UTF-8 or have control characters, no dimensions,
// dimensions of 0, bools other than 0 and 1, and a data section that does not fit in the file.
GgufHead read_gguf_head(const base::File& file);

// The same over bytes in memory that are a whole file; `name` stands for the path in messages.
GgufHead parse_gguf_head(std::span<const std::byte> bytes, const std::string& name);

// Rounds up to a multiple of `alignment`, a power of two.
constexpr uint64_t padded(uint64_t bytes, uint64_t alignment) {
  return (bytes + alignment - 1) & ~(alignment - 1);
}

}  // namespace karat::format
