#include "format/safetensors.h"

#include <algorithm>
#include <cstring>
#include <set>
#include <tuple>
#include <unordered_map>
#include <unordered_set>

#include "base/error.h"
#include "base/json.h"
#include "base/text.h"
#include "format/sniff.h"

namespace karat::format {

namespace {

using base::ErrorKind;
using base::Json;
using base::printable;

constexpr uint64_t kIndexBytesMax = 100'000'000;
// JSON values in a header or index: room for some 250,000 tensors, and a bound on memory.
constexpr size_t kValuesMax = size_t{1} << 21;
constexpr const char* kIndexName = "model.safetensors.index.json";
constexpr const char* kFileName = "model.safetensors";
constexpr const char* kAgain = "fetch or make the file again";

// Every type of the format (safetensors 0.6, Dtype) with its size in bits.
struct TypeBits {
  std::string_view name;
  unsigned bits;
};
constexpr TypeBits kTypes[] = {
    {"BOOL", 8},    {"U8", 8},          {"I8", 8},          {"F8_E5M2", 8}, {"F8_E4M3", 8},
    {"F8_E8M0", 8}, {"F8_E5M2FNUZ", 8}, {"F8_E4M3FNUZ", 8}, {"F4", 4},      {"F6_E2M3", 6},
    {"F6_E3M2", 6}, {"I16", 16},        {"U16", 16},        {"F16", 16},    {"BF16", 16},
    {"I32", 32},    {"U32", 32},        {"F32", 32},        {"C64", 64},    {"F64", 64},
    {"I64", 64},    {"U64", 64},
};

unsigned long long ull(uint64_t value) { return value; }

// Parses the JSON of one header; every error names the file, and the tensor where there is one.
class HeadParser {
 public:
  HeadParser(const std::string& name, uint64_t data_offset, uint64_t data_bytes)
      : name_(name), data_offset_(data_offset), data_bytes_(data_bytes) {}

  SafetensorsHead parse(std::string_view text) {
    const Json root = base::parse_json(
        text, {.depth_max = 8, .values_max = kValuesMax, .name = printable(name_)});
    for (const auto& [key, value] : root.as_object()) {
      if (key == "__metadata__") {
        read_metadata(value);
      } else {
        read_entry(key, value);
      }
    }
    check_cover();
    return std::move(head_);
  }

 private:
  [[noreturn]] void refuse(ErrorKind kind, std::string_view tensor, const std::string& problem) {
    throw base::fail(kind, "%s: tensor '%s' %s; %s", printable(name_).c_str(),
                     printable(tensor).c_str(), problem.c_str(), kAgain);
  }

  [[noreturn]] void refuse(std::string_view tensor, const std::string& problem) {
    refuse(ErrorKind::bad_input, tensor, problem);
  }

  void read_metadata(const Json& value) {
    bool strings = value.is_object();
    for (size_t i = 0; strings && i < value.as_object().size(); ++i) {
      const auto& [key, text] = value.as_object()[i];
      strings = text.is_string();
      if (strings) head_.metadata.emplace(key, text.as_string());
    }
    if (!strings) {
      throw base::fail(ErrorKind::bad_input, "%s: __metadata__ is not an object of strings; %s",
                       printable(name_).c_str(), kAgain);
    }
  }

  const Json& member(const Json& value, std::string_view tensor, const char* key) {
    const Json* found = value.find(key);
    if (found == nullptr) refuse(tensor, base::strf("has no %s", key));
    return *found;
  }

  uint64_t number(const Json& value, std::string_view tensor, const char* what) {
    const bool good = value.is_integer() && (value.as_double() >= 0);
    if (!good) refuse(tensor, base::strf("has a %s that is not a non-negative integer", what));
    return value.as_uint();
  }

  tensor::Shape read_shape(const Json& value, std::string_view tensor) {
    if (!value.is_array()) refuse(tensor, "has a shape that is not an array");
    if (value.as_array().size() > tensor::Shape::kDimsMax) {
      refuse(ErrorKind::unsupported, tensor,
             base::strf("has %zu dimensions, at most %d are supported", value.as_array().size(),
                        tensor::Shape::kDimsMax));
    }
    std::vector<int64_t> dims;
    uint64_t elements = 1;
    bool fits = true;
    for (const Json& extent : value.as_array()) {
      const uint64_t dim = number(extent, tensor, "dimension");
      fits = fits && dim <= uint64_t{INT64_MAX};
      // A dimension of 0 does not excuse an overflow elsewhere.
      fits = fits && !__builtin_mul_overflow(elements, std::max<uint64_t>(dim, 1), &elements) &&
             elements <= uint64_t{INT64_MAX};
      dims.push_back(static_cast<int64_t>(dim));
    }
    if (!fits) refuse(tensor, "has 2^63 elements or more");
    return tensor::Shape(std::move(dims));
  }

  void check_bytes(const SafetensorsEntry& entry) {
    const auto type = std::find_if(std::begin(kTypes), std::end(kTypes),
                                   [&](const TypeBits& row) { return row.name == entry.dtype; });
    if (type == std::end(kTypes)) {
      refuse(entry.name, "has the unknown dtype '" + printable(entry.dtype, 40) + "'");
    }
    uint64_t bits = 0;
    const auto elements = static_cast<uint64_t>(entry.shape.elements());
    if (__builtin_mul_overflow(elements, uint64_t{type->bits}, &bits) || bits % 8 != 0 ||
        bits / 8 != entry.bytes) {
      refuse(entry.name,
             base::strf("%s of %s does not take the %llu bytes of its data_offsets",
                        entry.shape.str().c_str(), entry.dtype.c_str(), ull(entry.bytes)));
    }
  }

  void read_entry(const std::string& key, const Json& value) {
    SafetensorsEntry entry;
    entry.name = key;
    if (!value.is_object()) refuse(key, "is not described by an object");
    const Json& dtype = member(value, key, "dtype");
    if (!dtype.is_string()) refuse(key, "has a dtype that is not a string");
    entry.dtype = dtype.as_string();
    entry.shape = read_shape(member(value, key, "shape"), key);
    const Json& range = member(value, key, "data_offsets");
    if (!range.is_array() || range.as_array().size() != 2) {
      refuse(key, "has data_offsets that are not two numbers");
    }
    const uint64_t begin = number(range.as_array()[0], key, "data offset");
    const uint64_t end = number(range.as_array()[1], key, "data offset");
    if (begin > end) refuse(key, "ends before it begins");
    if (end > data_bytes_) {
      refuse(key, base::strf("ends at byte %llu of %llu of data: the file is cut off", ull(end),
                             ull(data_bytes_)));
    }
    entry.offset = data_offset_ + begin;
    entry.bytes = end - begin;
    check_bytes(entry);
    head_.entries.push_back(std::move(entry));
  }

  // Ranges must follow each other without hole or overlap, from the first byte to the last.
  void check_cover() {
    std::sort(head_.entries.begin(), head_.entries.end(),
              [](const SafetensorsEntry& a, const SafetensorsEntry& b) {
                return std::tie(a.offset, a.bytes, a.name) < std::tie(b.offset, b.bytes, b.name);
              });
    uint64_t end = data_offset_;
    const SafetensorsEntry* before = nullptr;
    for (const SafetensorsEntry& entry : head_.entries) {
      if (entry.offset != end) {
        refuse(entry.name, base::strf("begins at byte %llu, %s byte %llu", ull(entry.offset),
                                      entry.offset < end ? "inside the tensor that ends at"
                                                         : "after a hole from",
                                      ull(end)));
      }
      if (before != nullptr && before->offset == entry.offset && before->bytes == entry.bytes) {
        refuse(entry.name, "shares its empty place with '" + printable(before->name) + "'");
      }
      end = entry.offset + entry.bytes;
      before = &entry;
    }
    if (end != data_offset_ + data_bytes_) {
      throw base::fail(ErrorKind::bad_input, "%s: %llu bytes at byte %llu belong to no tensor; %s",
                       printable(name_).c_str(), ull(data_offset_ + data_bytes_ - end), ull(end),
                       kAgain);
    }
  }

  const std::string& name_;
  uint64_t data_offset_, data_bytes_;
  SafetensorsHead head_;
};

uint64_t head_length(std::span<const std::byte> start, uint64_t file_bytes,
                     const std::string& name) {
  const std::string shown = printable(name);
  if (file_bytes < 10) {
    throw base::fail(ErrorKind::bad_input, "%s: has only %llu bytes, not a safetensors file; %s",
                     shown.c_str(), ull(file_bytes), kAgain);
  }
  CHECK(start.size() >= 9);
  uint64_t length = 0;
  std::memcpy(&length, start.data(), sizeof(length));
  if (length < 2 || length > kSafetensorsHeadBytesMax || start[8] != std::byte{'{'}) {
    const std::string look = look_of(start);
    throw base::fail(ErrorKind::bad_input,
                     "%s: not a safetensors file (its header would have %llu bytes and start with "
                     "0x%02x)%s%s; %s",
                     shown.c_str(), ull(length), std::to_integer<unsigned>(start[8]),
                     look.empty() ? "" : ", it looks like ", look.c_str(), kAgain);
  }
  if (length > file_bytes - 8) {
    throw base::fail(ErrorKind::bad_input,
                     "%s: the header needs %llu bytes from byte 8, the file has only %llu; it is "
                     "cut off, fetch it again",
                     shown.c_str(), ull(length), ull(file_bytes));
  }
  return length;
}

// A name in an index: a plain file name, so that nothing outside the folder is ever opened.
void check_shard_name(const std::string& shard, const std::string& index_path) {
  if (shard.empty() || shard.find('/') != std::string::npos ||
      shard.find('\\') != std::string::npos || shard.find('\0') != std::string::npos ||
      shard == "." || shard == ".." || !base::ends_with(shard, ".safetensors")) {
    throw base::fail(ErrorKind::bad_input,
                     "%s: weight_map names '%s', not a .safetensors file of its own folder; fetch "
                     "the index again",
                     printable(index_path).c_str(), printable(shard).c_str());
  }
}

// Tensor name -> shard, as the index says.
std::unordered_map<std::string, std::string> read_index(const std::string& path) {
  const std::string shown = printable(path);
  const auto refuse = [&](const std::string& problem) {
    throw base::fail(ErrorKind::bad_input, "%s: %s; fetch the index again", shown.c_str(),
                     problem.c_str());
  };
  const Json root = base::parse_json(base::read_file(path, kIndexBytesMax),
                                     {.depth_max = 16, .values_max = kValuesMax, .name = shown});
  const Json* map = root.find("weight_map");
  if (map == nullptr || !map->is_object()) refuse("has no weight_map");
  if (map->as_object().empty()) refuse("has an empty weight_map");
  std::unordered_map<std::string, std::string> shards;
  for (const auto& [name, shard] : map->as_object()) {
    if (!shard.is_string()) refuse("weight_map of '" + printable(name) + "' is not a file name");
    check_shard_name(shard.as_string(), path);
    shards.emplace(name, shard.as_string());
  }
  return shards;
}

}  // namespace

SafetensorsHead parse_safetensors_head(std::span<const std::byte> head, uint64_t file_bytes,
                                       const std::string& name) {
  const uint64_t length = head_length(head, file_bytes, name);
  CHECK(head.size() >= 8 + length);
  const std::string_view text(reinterpret_cast<const char*>(head.data()) + 8, length);
  if (!base::is_utf8(text)) {
    throw base::fail(ErrorKind::bad_input, "%s: the header is not UTF-8; %s",
                     printable(name).c_str(), kAgain);
  }
  return HeadParser(name, 8 + length, file_bytes - 8 - length).parse(text);
}

SafetensorsSource::SafetensorsSource(const std::string& path) {
  if (!base::is_directory(path)) {
    if (base::ends_with(path, ".index.json")) {
      const size_t slash = path.find_last_of('/');
      open_index(slash == std::string::npos ? "." : path.substr(0, slash), path);
    } else {
      open_file(path);
    }
    return;
  }
  const std::string folder =
      path.size() > 1 && path.back() == '/' ? path.substr(0, path.size() - 1) : path;
  if (base::file_exists(folder + "/" + kIndexName)) {
    open_index(folder, folder + "/" + kIndexName);
  } else if (base::file_exists(folder + "/" + kFileName)) {
    open_file(folder + "/" + kFileName);
  } else {
    const bool pickles = base::file_exists(folder + "/pytorch_model.bin") ||
                         base::file_exists(folder + "/pytorch_model.bin.index.json") ||
                         base::file_exists(folder + "/consolidated.00.pth") ||
                         base::file_exists(folder + "/model.pt");
    throw base::fail(ErrorKind::bad_input, "%s: has neither %s nor %s%s", printable(path).c_str(),
                     kFileName, kIndexName,
                     pickles ? ", only PyTorch pickles (.bin, .pt); save the model as safetensors "
                               "first"
                             : "; give the folder of a Hugging Face checkpoint");
  }
}

void SafetensorsSource::open_file(const std::string& path) {
  const base::File& file = add_file(base::File(path));
  std::vector<std::byte> head(std::min<uint64_t>(kSniffBytes, file.size()));
  file.read_at(0, head);
  head.resize(8 + head_length(head, file.size(), path));
  file.read_at(0, head);
  SafetensorsHead parsed = parse_safetensors_head(head, file.size(), path);
  const auto number = static_cast<uint32_t>(files().size() - 1);
  for (SafetensorsEntry& entry : parsed.entries) {
    if (const auto dtype = tensor::dtype_from_safetensors(entry.dtype)) {
      add_tensor({std::move(entry.name), *dtype, std::move(entry.shape)}, {number, entry.offset});
    } else {
      foreign_.push_back(
          {std::move(entry.name), std::move(entry.dtype), std::move(entry.shape), number});
    }
  }
  metadata_.merge(parsed.metadata);
}

void SafetensorsSource::open_index(const std::string& folder, const std::string& index_path) {
  const std::unordered_map<std::string, std::string> shards = read_index(index_path);
  std::set<std::string> names;
  for (const auto& [tensor, shard] : shards) names.insert(shard);
  size_t tensors_seen = 0, foreign_seen = 0;
  std::unordered_set<std::string_view> found;
  for (const std::string& name : names) {
    const std::string path = folder + "/" + name;
    if (!base::file_exists(path)) {
      throw base::fail(ErrorKind::bad_input, "%s: shard %s is missing; fetch it too",
                       printable(index_path).c_str(), printable(name).c_str());
    }
    open_file(path);
    const auto check = [&](const std::string& tensor) {
      const auto it = shards.find(tensor);
      if (it == shards.end() || it->second != name) {
        throw base::fail(ErrorKind::bad_input,
                         "%s: has tensor '%s', which %s puts %s%s; fetch index and shards of one "
                         "model again",
                         printable(path).c_str(), printable(tensor).c_str(),
                         printable(index_path).c_str(), it == shards.end() ? "nowhere" : "into ",
                         it == shards.end() ? "" : printable(it->second).c_str());
      }
      found.insert(it->first);
    };
    for (; tensors_seen < tensors().size(); ++tensors_seen) check(tensors()[tensors_seen].name);
    for (; foreign_seen < foreign_.size(); ++foreign_seen) check(foreign_[foreign_seen].name);
  }
  for (const auto& [tensor, shard] : shards) {
    if (!found.contains(tensor)) {
      throw base::fail(
          ErrorKind::bad_input,
          "%s: tensor '%s' is not in its shard %s; fetch index and shards of one model "
          "again",
          printable(index_path).c_str(), printable(tensor).c_str(), printable(shard).c_str());
    }
  }
}

void SafetensorsSource::refuse(const Foreign& tensor) const {
  throw base::fail(ErrorKind::unsupported,
                   "%s: tensor '%s' is of type %s, as in a checkpoint that is already quantized; "
                   "give the original BF16 checkpoint",
                   printable(files()[tensor.file]).c_str(), printable(tensor.name).c_str(),
                   tensor.dtype.c_str());
}

void write_safetensors(const std::string& path, std::span<const SafetensorsItem> items,
                       const std::map<std::string, std::string>& metadata) {
  base::OutputFile file(path);
  write_safetensors(file, items, metadata);
  file.commit();
}

void write_safetensors(base::OutputFile& file, std::span<const SafetensorsItem> items,
                       const std::map<std::string, std::string>& metadata) {
  Json root = Json::object();
  if (!metadata.empty()) {
    Json::Object strings;
    for (const auto& [key, value] : metadata) strings.emplace_back(key, value);
    root.as_object().emplace_back("__metadata__", Json(std::move(strings)));
  }
  uint64_t offset = 0;
  for (const SafetensorsItem& item : items) {
    const std::string_view dtype = tensor::info(item.info.dtype).safetensors;
    if (dtype.empty()) {
      throw base::fail(ErrorKind::unsupported,
                       "%s: tensor '%s' of type %s has no place in a "
                       "safetensors file; write a GGUF file",
                       printable(file.path()).c_str(), printable(item.info.name).c_str(),
                       std::string(tensor::info(item.info.dtype).name).c_str());
    }
    CHECK(item.bytes.size() == static_cast<uint64_t>(item.info.bytes()));
    Json::Array shape;
    for (const int64_t dim : item.info.shape.dims()) shape.emplace_back(dim);
    const uint64_t end = offset + item.bytes.size();
    Json entry = Json::object();
    entry.set("dtype", dtype);
    entry.set("shape", std::move(shape));
    entry.set("data_offsets", Json::Array{Json(offset), Json(end)});
    root.as_object().emplace_back(item.info.name, std::move(entry));
    offset = end;
  }
  std::string head = root.dump();
  head.resize((head.size() + 7) / 8 * 8,
              ' ');  // keeps the data 8-byte aligned, as the reference does
  const uint64_t length = head.size();
  file.append(std::as_bytes(std::span(&length, 1)));
  file.append(head);
  for (const SafetensorsItem& item : items) file.append(item.bytes);
}

}  // namespace karat::format
