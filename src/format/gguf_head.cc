#include "format/gguf_head.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <functional>
#include <unordered_set>

#include "base/error.h"
#include "base/text.h"
#include "format/sniff.h"

namespace karat::format {

static_assert(std::endian::native == std::endian::little, "values are copied as they lie");

namespace {

using base::Error;
using base::ErrorKind;
using base::printable;
using tensor::DType;

using Fetch = std::function<void(uint64_t offset, std::span<std::byte> out)>;

constexpr const char* kDamaged = "the file is damaged or incomplete, fetch or make it again";

// Ids that ggml once had (Q4_2, Q4_3, the repacked Q4_0 and IQ4_NL kinds).
constexpr uint32_t kRemovedTypes[] = {4, 5, 31, 32, 33, 36, 37, 38};

// Reads forward through the head in pieces, never past what the file has.
class Cursor {
 public:
  Cursor(const std::string& name, uint64_t file_bytes, Fetch fetch)
      : name_(printable(name)), file_bytes_(file_bytes), fetch_(std::move(fetch)) {}

  uint64_t position() const { return position_; }
  uint64_t left() const { return file_bytes_ - position_; }

  [[gnu::format(printf, 3, 4)]] Error fail(ErrorKind kind, const char* format, ...) const {
    va_list arguments;
    va_start(arguments, format);
    const std::string what = base::vstrf(format, arguments);
    va_end(arguments);
    return base::fail(kind, "%s: at byte %llu: %s", name_.c_str(),
                      static_cast<unsigned long long>(position_), what.c_str());
  }

  // Throws unless `bytes` more are in the file and in the head's size limit; `what` is being read.
  void need(uint64_t bytes, const char* what) const {
    if (bytes > left()) {
      throw fail(ErrorKind::bad_input, "%s takes %llu bytes, the file ends %llu bytes on; %s", what,
                 static_cast<unsigned long long>(bytes), static_cast<unsigned long long>(left()),
                 kDamaged);
    }
    if (bytes > kGgufHeadBytesMax || position_ > kGgufHeadBytesMax - bytes) {
      throw fail(ErrorKind::unsupported, "metadata beyond %s; %s",
                 base::both_units(kGgufHeadBytesMax).c_str(), kDamaged);
    }
  }

  void read(std::span<std::byte> out, const char* what) {
    need(out.size(), what);
    while (!out.empty()) {
      if (used_ == buffer_.size()) refill(out.size());
      const size_t n = std::min(out.size(), buffer_.size() - used_);
      std::memcpy(out.data(), buffer_.data() + used_, n);
      out = out.subspan(n);
      used_ += n;
      position_ += n;
    }
  }

  template <class T>
  T number(const char* what) {
    T value;
    read(std::as_writable_bytes(std::span(&value, 1)), what);
    return value;
  }

  std::string text(uint64_t length_max, const char* what) {
    const auto length = number<uint64_t>(what);
    if (length > length_max) {
      throw fail(ErrorKind::bad_input, "%s of %llu bytes, at most %llu are allowed; %s", what,
                 static_cast<unsigned long long>(length),
                 static_cast<unsigned long long>(length_max), kDamaged);
    }
    need(length, what);
    std::string value(length, '\0');
    read(std::as_writable_bytes(std::span(value.data(), value.size())), what);
    return value;
  }

 private:
  void refill(uint64_t wanted) {
    constexpr uint64_t kPiece = 1u << 16;
    buffer_.resize(std::min(left(), std::max(kPiece, std::min<uint64_t>(wanted, 1u << 22))));
    fetch_(position_, buffer_);
    used_ = 0;
  }

  std::string name_;
  uint64_t file_bytes_ = 0, position_ = 0;
  Fetch fetch_;
  std::vector<std::byte> buffer_;
  size_t used_ = 0;
};

constexpr uint64_t kStringMax = uint64_t{1} << 30;  // ggml's GGUF_MAX_STRING_LENGTH
constexpr uint64_t kArrayMax = uint64_t{1} << 30;   // ggml's GGUF_MAX_ARRAY_ELEMENTS

bool has_control_characters(std::string_view text) {
  return std::any_of(text.begin(), text.end(),
                     [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

// Keys and tensor names: printable UTF-8, not empty.
std::string read_name(Cursor& in, uint64_t length_max, const char* what) {
  std::string name = in.text(length_max, what);
  const char* problem = name.empty()                   ? "is empty"
                        : !base::is_utf8(name)         ? "is not UTF-8"
                        : has_control_characters(name) ? "has control characters"
                                                       : nullptr;
  if (problem != nullptr) {
    throw in.fail(ErrorKind::bad_input, "%s '%s' %s; %s", what, printable(name).c_str(), problem,
                  kDamaged);
  }
  return name;
}

bool read_bool(Cursor& in, const char* what) {
  const auto byte = in.number<uint8_t>(what);
  if (byte > 1) {
    throw in.fail(ErrorKind::bad_input, "%s is the bool %u, neither 0 nor 1; %s", what, byte,
                  kDamaged);
  }
  return byte == 1;
}

template <size_t Index = 0, class Visit>
void with_type(uint32_t id, Visit visit) {
  if constexpr (Index < kValueTypes) {
    if (id == Index) {
      visit(std::in_place_index<Index>);
    } else {
      with_type<Index + 1>(id, visit);
    }
  }
}

uint32_t read_value_type(Cursor& in, const std::string& shown) {
  const auto type = in.number<uint32_t>("value type");
  if (type >= kValueTypes) {
    throw in.fail(ErrorKind::bad_input, "key '%s' has the unknown value type %u; %s", shown.c_str(),
                  type, kDamaged);
  }
  return type;
}

Array read_array(Cursor& in, const std::string& shown) {
  const uint32_t type = read_value_type(in, shown);
  if (type == static_cast<uint32_t>(ValueType::array)) {
    throw in.fail(ErrorKind::unsupported,
                  "key '%s' is an array of arrays, which GGUF readers "
                  "do not take; %s",
                  shown.c_str(), kDamaged);
  }
  const auto count = in.number<uint64_t>("array length");
  if (count > kArrayMax) {
    throw in.fail(ErrorKind::bad_input,
                  "key '%s' is an array of %llu elements, at most 2^30 are "
                  "allowed; %s",
                  shown.c_str(), static_cast<unsigned long long>(count), kDamaged);
  }
  Array array;
  with_type(type, [&]<size_t Index>(std::in_place_index_t<Index>) {
    auto& elements = array.data.emplace<Index>();
    if constexpr (Index != static_cast<size_t>(ValueType::array)) {
      using T = typename std::variant_alternative_t<Index, Array::Data>::value_type;
      if constexpr (std::is_same_v<T, std::string>) {
        in.need(count * sizeof(uint64_t), shown.c_str());
        for (uint64_t i = 0; i < count; ++i) elements.push_back(in.text(kStringMax, "string"));
      } else if constexpr (std::is_same_v<T, bool>) {
        in.need(count, shown.c_str());
        for (uint64_t i = 0; i < count; ++i) elements.push_back(read_bool(in, shown.c_str()));
      } else {
        in.need(count * sizeof(T), shown.c_str());
        elements.resize(count);
        in.read(std::as_writable_bytes(std::span(elements)), shown.c_str());
      }
    }
  });
  return array;
}

Value read_value(Cursor& in, const std::string& shown) {
  const uint32_t type = read_value_type(in, shown);
  Value value;
  with_type(type, [&]<size_t Index>(std::in_place_index_t<Index>) {
    using T = std::variant_alternative_t<Index, Value::Data>;
    if constexpr (std::is_same_v<T, Array>) {
      value = Value(read_array(in, shown));
    } else if constexpr (std::is_same_v<T, std::string>) {
      value = Value(in.text(kStringMax, "string"));
    } else if constexpr (std::is_same_v<T, bool>) {
      value = Value(read_bool(in, shown.c_str()));
    } else {
      value = Value(in.number<T>(shown.c_str()));
    }
  });
  return value;
}

void read_magic_and_version(Cursor& in, GgufHead& head, const std::string& name,
                            std::span<const std::byte> start) {
  const std::string shown = printable(name);
  if (in.left() == 0) {
    throw base::fail(ErrorKind::bad_input, "%s: is empty (0 bytes); fetch or make it again",
                     shown.c_str());
  }
  const size_t shared = std::min<size_t>(start.size(), 4);
  if (std::memcmp(start.data(), "GGUF", shared) != 0) {
    const std::string look = look_of(start);
    throw base::fail(ErrorKind::bad_input, "%s: not a GGUF file (%llu bytes)%s%s", shown.c_str(),
                     static_cast<unsigned long long>(in.left()),
                     look.empty() ? "; give a .gguf file" : "; it looks like ", look.c_str());
  }
  if (in.left() < 24) {
    throw base::fail(ErrorKind::bad_input,
                     "%s: has only %llu bytes, a GGUF head takes at least 24; %s", shown.c_str(),
                     static_cast<unsigned long long>(in.left()), kDamaged);
  }
  in.number<uint32_t>("magic");
  head.version = in.number<uint32_t>("version");
  if (head.version != 0 && (head.version & 0xffff) == 0) {
    throw in.fail(ErrorKind::unsupported,
                  "a big-endian GGUF file, which is not supported; convert the model again on a "
                  "little-endian machine");
  }
  if (head.version != 2 && head.version != 3) {
    throw in.fail(ErrorKind::unsupported,
                  "GGUF version %u, versions 2 and 3 are supported; convert the model again",
                  head.version);
  }
}

uint64_t read_count(Cursor& in, const char* what, uint64_t bytes_each) {
  const auto count = in.number<uint64_t>(what);
  if (count > in.left() / bytes_each) {
    throw in.fail(ErrorKind::bad_input, "%llu %s do not fit in the %llu bytes that follow; %s",
                  static_cast<unsigned long long>(count), what,
                  static_cast<unsigned long long>(in.left()), kDamaged);
  }
  if (count > kGgufEntriesMax) {
    throw in.fail(ErrorKind::unsupported, "%llu %s, at most %llu are supported; %s",
                  static_cast<unsigned long long>(count), what,
                  static_cast<unsigned long long>(kGgufEntriesMax), kDamaged);
  }
  return count;
}

void read_metadata(Cursor& in, uint64_t count, GgufHead& head) {
  for (uint64_t i = 0; i < count; ++i) {
    std::string key = read_name(in, kGgufKeyMax, "key");
    const std::string shown = printable(key);
    Value value = read_value(in, shown);
    if (!head.metadata.append(std::move(key), std::move(value))) {
      throw in.fail(ErrorKind::bad_input, "key '%s' occurs twice; %s", shown.c_str(), kDamaged);
    }
  }
}

void read_alignment(Cursor& in, GgufHead& head) {
  const Value* value = head.metadata.find("general.alignment");
  if (value == nullptr) return;
  const uint32_t* alignment = std::get_if<uint32_t>(&value->data());
  if (alignment == nullptr || !std::has_single_bit(*alignment)) {
    throw in.fail(ErrorKind::bad_input,
                  "general.alignment is %s (%s), a power of two as u32 is expected; %s",
                  value->str().c_str(), value->type_name().c_str(), kDamaged);
  }
  if (*alignment > kGgufAlignmentMax) {
    throw in.fail(ErrorKind::unsupported,
                  "general.alignment is %u, at most %llu is supported; convert the model again",
                  *alignment, static_cast<unsigned long long>(kGgufAlignmentMax));
  }
  head.alignment = *alignment;
}

tensor::Shape read_shape(Cursor& in, const std::string& shown) {
  const auto rank = in.number<uint32_t>("number of dimensions");
  if (rank == 0 || rank > kGgufDimsMax) {
    throw in.fail(ErrorKind::bad_input, "tensor '%s' has %u dimensions, 1 to %d are possible; %s",
                  shown.c_str(), rank, kGgufDimsMax, kDamaged);
  }
  std::vector<int64_t> dims(rank);
  int64_t elements = 1;
  for (uint32_t i = rank; i-- > 0;) {
    dims[i] = in.number<int64_t>("dimension");
    if (dims[i] <= 0) {
      throw in.fail(ErrorKind::bad_input, "tensor '%s' has a dimension of %lld; %s", shown.c_str(),
                    static_cast<long long>(dims[i]), kDamaged);
    }
    if (__builtin_mul_overflow(elements, dims[i], &elements)) {
      throw in.fail(ErrorKind::bad_input, "tensor '%s' has 2^63 elements or more; %s",
                    shown.c_str(), kDamaged);
    }
  }
  return tensor::Shape(std::move(dims));
}

DType read_dtype(Cursor& in, const std::string& shown) {
  const auto id = in.number<uint32_t>("tensor type");
  if (const std::optional<DType> type = tensor::dtype_from_id(id)) return *type;
  const bool removed =
      std::find(std::begin(kRemovedTypes), std::end(kRemovedTypes), id) != std::end(kRemovedTypes);
  const char* whose = removed                  ? ", one that llama.cpp has removed"
                      : id >= 133 && id <= 158 ? ", one of ik_llama.cpp's own"
                                               : "";
  throw in.fail(ErrorKind::unsupported,
                "tensor '%s' has the unknown type %u%s; quantize the original model again",
                shown.c_str(), id, whose);
}

// One tensor of the list; `expected` is where its data must begin in the data section, and moves
// on.
void read_tensor(Cursor& in, uint64_t file_bytes, uint64_t& expected, GgufHead& head) {
  tensor::TensorInfo info;
  info.name = read_name(in, kGgufNameMax, "tensor name");
  const std::string shown = printable(info.name);
  info.shape = read_shape(in, shown);
  info.dtype = read_dtype(in, shown);
  const tensor::DTypeInfo& type = tensor::info(info.dtype);
  if (info.shape.cols() % type.block_elems != 0) {
    throw in.fail(ErrorKind::bad_input,
                  "tensor '%s': rows of %lld elements do not fill %s blocks of %d; %s",
                  shown.c_str(), static_cast<long long>(info.shape.cols()),
                  std::string(type.name).c_str(), type.block_elems, kDamaged);
  }
  int64_t bytes = 0;
  if (__builtin_mul_overflow(info.shape.elements() / type.block_elems, type.block_bytes, &bytes) ||
      static_cast<uint64_t>(bytes) > file_bytes - expected) {
    throw in.fail(ErrorKind::bad_input, "tensor '%s' %s of %s is larger than the file; %s",
                  shown.c_str(), info.shape.str().c_str(), std::string(type.name).c_str(),
                  kDamaged);
  }
  const auto offset = in.number<uint64_t>("tensor offset");
  if (offset != expected) {
    throw in.fail(ErrorKind::bad_input, "tensor '%s' is at offset %llu, %llu is expected; %s",
                  shown.c_str(), static_cast<unsigned long long>(offset),
                  static_cast<unsigned long long>(expected), kDamaged);
  }
  expected += padded(static_cast<uint64_t>(bytes), head.alignment);
  if (expected > file_bytes) {
    throw in.fail(ErrorKind::bad_input, "tensor '%s' ends beyond the end of the file; %s",
                  shown.c_str(), kDamaged);
  }
  head.tensors.push_back(std::move(info));
  head.offsets.push_back(offset);
}

void check_tensor_names(Cursor& in, const GgufHead& head) {
  std::unordered_set<std::string_view> names;
  for (const tensor::TensorInfo& info : head.tensors) {
    if (!names.insert(info.name).second) {
      throw in.fail(ErrorKind::bad_input, "tensor '%s' occurs twice; %s",
                    printable(info.name).c_str(), kDamaged);
    }
  }
}

void check_data(const std::string& name, uint64_t file_bytes, const GgufHead& head) {
  if (head.data_offset <= file_bytes && head.data_bytes <= file_bytes - head.data_offset) return;
  size_t first = 0;
  while (first + 1 < head.tensors.size() && head.offsets[first + 1] <= file_bytes) ++first;
  throw base::fail(ErrorKind::bad_input,
                   "%s: has %llu bytes, the tensors need %llu (tensor '%s' at byte %llu is the "
                   "first that is cut off); the download is incomplete, fetch it again",
                   printable(name).c_str(), static_cast<unsigned long long>(file_bytes),
                   static_cast<unsigned long long>(head.data_offset + head.data_bytes),
                   printable(head.tensors[first].name).c_str(),
                   static_cast<unsigned long long>(head.offsets[first]));
}

GgufHead read_head(const std::string& name, uint64_t file_bytes, const Fetch& fetch) {
  std::byte start[kSniffBytes];
  const std::span<std::byte> sniffed(start, std::min<uint64_t>(kSniffBytes, file_bytes));
  fetch(0, sniffed);
  Cursor in(name, file_bytes, fetch);
  GgufHead head;
  head.metadata = Metadata(name);
  read_magic_and_version(in, head, name, sniffed);
  // The shortest tensor entry and the shortest key with its value.
  const uint64_t tensors = read_count(in, "tensors", 8 + 1 + 4 + 8 + 4 + 8);
  const uint64_t keys = read_count(in, "keys", 8 + 1 + 4 + 1);
  read_metadata(in, keys, head);
  read_alignment(in, head);
  for (uint64_t i = 0; i < tensors; ++i) read_tensor(in, file_bytes, head.data_bytes, head);
  check_tensor_names(in, head);
  head.data_offset = tensors == 0 ? in.position() : padded(in.position(), head.alignment);
  for (uint64_t& offset : head.offsets) offset += head.data_offset;
  if (tensors > 0) check_data(name, file_bytes, head);
  return head;
}

}  // namespace

GgufHead read_gguf_head(const base::File& file) {
  return read_head(file.path(), file.size(),
                   [&](uint64_t offset, std::span<std::byte> out) { file.read_at(offset, out); });
}

GgufHead parse_gguf_head(std::span<const std::byte> bytes, const std::string& name) {
  return read_head(name, bytes.size(), [&](uint64_t offset, std::span<std::byte> out) {
    std::copy_n(bytes.begin() + static_cast<std::ptrdiff_t>(offset), out.size(), out.begin());
  });
}

}  // namespace karat::format
