// Small files for tests: a scratch folder, and GGUF and safetensors files put together field by
// field, so that every field can be wrong.
#pragma once

#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace karat::test {

// A folder of its own for one test, removed with everything in it at the end.
class TempDir {
 public:
  TempDir() {
    std::string name = (std::filesystem::temp_directory_path() / "karat-test-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp failed");
    path_ = name;
  }
  ~TempDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;

  std::string path(std::string_view name = {}) const {
    return name.empty() ? path_ : path_ + "/" + std::string(name);
  }
  // Writes a file into the folder and gives its path.
  std::string write(std::string_view name, std::string_view bytes) const {
    const std::string where = path(name);
    std::ofstream(where, std::ios::binary) << bytes;
    return where;
  }
  size_t file_count() const {
    return static_cast<size_t>(std::distance(std::filesystem::directory_iterator(path_), {}));
  }

 private:
  std::string path_;
};

inline std::string read_bytes(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

// The bytes of a number as they lie in a little-endian file.
template <class T>
std::string raw(T value) {
  std::string bytes(sizeof(T), '\0');
  std::memcpy(bytes.data(), &value, sizeof(T));
  return bytes;
}
// A GGUF string: its length as u64, then its bytes.
inline std::string raw_string(std::string_view text) {
  return raw(uint64_t{text.size()}) + std::string(text);
}

// A GGUF file from its parts. What is not set is right; str() computes nothing but counts and
// padding, so a wrong part stays wrong.
struct GgufParts {
  std::string magic = "GGUF";
  uint32_t version = 3;
  std::vector<std::string> keys;     // each from kv()
  std::vector<std::string> tensors;  // each from tensor_entry()
  std::string data;                  // the data section
  // Instead of the true counts.
  int64_t key_count = -1, tensor_count = -1;
  uint64_t alignment = 32;

  std::string str() const {
    std::string out = magic + raw(version);
    out += raw(tensor_count == -1 ? static_cast<int64_t>(tensors.size()) : tensor_count);
    out += raw(key_count == -1 ? static_cast<int64_t>(keys.size()) : key_count);
    for (const std::string& key : keys) out += key;
    for (const std::string& tensor : tensors) out += tensor;
    if (!data.empty()) out.resize((out.size() + alignment - 1) / alignment * alignment, '\0');
    return out + data;
  }
};

// A key with its value: the type id, then the value's bytes from raw() or raw_string().
inline std::string kv(std::string_view key, uint32_t type, std::string_view value) {
  return raw_string(key) + raw(type) + std::string(value);
}
inline std::string kv_u32(std::string_view key, uint32_t value) { return kv(key, 4, raw(value)); }
inline std::string kv_string(std::string_view key, std::string_view value) {
  return kv(key, 8, raw_string(value));
}
// The value of a key of type 9.
inline std::string raw_array(uint32_t type, uint64_t count, std::string_view elements) {
  return raw(type) + raw(count) + std::string(elements);
}
// ne[0] first, as in the file.
inline std::string tensor_entry(std::string_view name, const std::vector<int64_t>& ne,
                                uint32_t type, uint64_t offset) {
  std::string out = raw_string(name) + raw(static_cast<uint32_t>(ne.size()));
  for (const int64_t extent : ne) out += raw(extent);
  return out + raw(type) + raw(offset);
}

// A valid file: three keys, an F32 tensor "a" [2, 4] and a BF16 tensor "b" [8].
inline GgufParts small_gguf() {
  GgufParts parts;
  parts.keys = {
      kv_string("general.architecture", "qwen35moe"), kv_u32("qwen35moe.block_count", 2),
      kv("tokenizer.ggml.tokens", 9, raw_array(8, 2, raw_string("a") + raw_string("bc")))};
  parts.tensors = {tensor_entry("a", {4, 2}, 0, 0), tensor_entry("b", {8}, 30, 32)};
  for (int i = 0; i < 8; ++i) parts.data += raw(static_cast<float>(i));
  for (int i = 0; i < 8; ++i) parts.data += raw(static_cast<uint16_t>(0x3f80 + i));
  parts.data.resize(64, '\0');
  return parts;
}

// A safetensors file: the header's text and the data, with the true length in front or another one.
inline std::string safetensors_file(std::string_view head, std::string_view data,
                                    int64_t length = -1) {
  return raw(length == -1 ? static_cast<int64_t>(head.size()) : length) + std::string(head) +
         std::string(data);
}

// A valid file: BF16 "a" [2, 3], F32 scalar "s", and an empty F16 tensor "z" [0, 4].
inline std::string small_safetensors() {
  std::string data = raw(uint16_t{0x3f80}) + raw(uint16_t{0x4000}) + raw(uint16_t{0x4040}) +
                     raw(uint16_t{0x4080}) + raw(uint16_t{0x40a0}) + raw(uint16_t{0x40c0}) +
                     raw(2.5f);
  return safetensors_file(R"({"__metadata__":{"format":"pt"},)"
                          R"("a":{"dtype":"BF16","shape":[2,3],"data_offsets":[0,12]},)"
                          R"("s":{"dtype":"F32","shape":[],"data_offsets":[12,16]},)"
                          R"("z":{"dtype":"F16","shape":[0,4],"data_offsets":[16,16]}})",
                          data);
}

}  // namespace karat::test
