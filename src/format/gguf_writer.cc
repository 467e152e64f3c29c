#include "format/gguf_writer.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <unordered_set>

#include "base/error.h"
#include "base/text.h"
#include "format/gguf.h"
#include "format/gguf_head.h"

namespace karat::format {

namespace {

using base::ErrorKind;
using base::printable;

template <class T>
void put(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof(value));
}

void put(std::string& out, const std::string& text) {
  put(out, uint64_t{text.size()});
  out += text;
}

void put(std::string& out, bool value) { out += value ? '\1' : '\0'; }

void put(std::string& out, const Array& array) {
  put(out, static_cast<uint32_t>(array.element_type()));
  put(out, uint64_t{array.size()});
  std::visit(
      [&](const auto& elements) {
        if constexpr (!std::is_same_v<std::decay_t<decltype(elements)>, Array::Nested>) {
          for (const auto& element : elements) put(out, element);
        }
      },
      array.data);
}

void put(std::string& out, const Metadata& metadata) {
  for (const Metadata::Entry& entry : metadata.entries()) {
    put(out, entry.key);
    put(out, static_cast<uint32_t>(entry.value.type()));
    std::visit([&](const auto& value) { put(out, value); }, entry.value.data());
  }
}

std::vector<uint64_t> stored_dims(const tensor::Shape& shape, bool drop_unit_dims) {
  std::vector<uint64_t> ne(shape.dims().rbegin(), shape.dims().rend());
  if (ne.empty()) ne.push_back(1);
  while (drop_unit_dims && ne.size() > 1 && ne.back() == 1) ne.pop_back();
  return ne;
}

void check_tensors(const std::vector<tensor::TensorInfo>& tensors) {
  std::unordered_set<std::string_view> names;
  for (const tensor::TensorInfo& tensor : tensors) {
    const std::string shown = printable(tensor.name);
    if (tensor.name.empty() || tensor.name.size() > kGgufNameMax) {
      throw base::fail(ErrorKind::bad_input,
                       "tensor name '%s' has %zu bytes, a GGUF file holds 1 to %zu; rename it",
                       shown.c_str(), tensor.name.size(), kGgufNameMax);
    }
    if (!names.insert(tensor.name).second) {
      throw base::fail(ErrorKind::bad_input, "tensor '%s' would be written twice", shown.c_str());
    }
    if (tensor.shape.rank() > kGgufDimsMax || tensor.shape.elements() == 0) {
      throw base::fail(ErrorKind::bad_input,
                       "tensor '%s' has the shape %s, a GGUF file holds 1 to %d dimensions above 0",
                       shown.c_str(), tensor.shape.str().c_str(), kGgufDimsMax);
    }
  }
}

uint64_t alignment_of(const Metadata& metadata) {
  const Value* value = metadata.find("general.alignment");
  if (value == nullptr) return kGgufAlignment;
  const uint32_t* alignment = std::get_if<uint32_t>(&value->data());
  if (alignment == nullptr || !std::has_single_bit(*alignment) || *alignment > kGgufAlignmentMax) {
    throw base::fail(ErrorKind::bad_input,
                     "general.alignment is %s (%s), a power of two up to %llu as u32 is expected",
                     value->str().c_str(), value->type_name().c_str(),
                     static_cast<unsigned long long>(kGgufAlignmentMax));
  }
  return *alignment;
}

// The keys of one shard: all in the first, in the others only what its reader needs.
Metadata shard_metadata(const Metadata& metadata, size_t shard, size_t shards, size_t tensors) {
  Metadata keys;
  if (shard == 0) {
    keys = metadata;
  } else if (const Value* alignment = metadata.find("general.alignment")) {
    keys.set("general.alignment", *alignment);
  }
  drop_split_keys(keys);
  if (shards > 1) {
    keys.set(kSplitNo, static_cast<uint16_t>(shard));
    keys.set(kSplitCount, static_cast<uint16_t>(shards));
    keys.set(kSplitTensorsCount, static_cast<int32_t>(tensors));
  }
  return keys;
}

}  // namespace

GgufLayout::GgufLayout(const Metadata& metadata, const std::vector<tensor::TensorInfo>& tensors,
                       const GgufWriteOptions& options)
    : alignment_(alignment_of(metadata)) {
  check_tensors(tensors);
  place_tensors(tensors, options);
  for (size_t i = 0; i < shards_.size(); ++i) {
    Shard& shard = shards_[i];
    const Metadata keys = shard_metadata(metadata, i, shards_.size(), tensors.size());
    shard.head = "GGUF";
    put(shard.head, uint32_t{3});
    put(shard.head, uint64_t{shard.tensor_end - shard.tensor_begin});
    put(shard.head, uint64_t{keys.size()});
    put(shard.head, keys);
    for (size_t t = shard.tensor_begin; t < shard.tensor_end; ++t) {
      put(shard.head, tensors[t].name);
      const std::vector<uint64_t> ne = stored_dims(tensors[t].shape, options.drop_unit_dims);
      put(shard.head, static_cast<uint32_t>(ne.size()));
      for (const uint64_t extent : ne) put(shard.head, extent);
      put(shard.head, static_cast<uint32_t>(tensors[t].dtype));
      put(shard.head, offsets_[t]);
    }
    if (shard.tensor_end > shard.tensor_begin) {
      shard.head.resize(padded(shard.head.size(), alignment_), '\0');
    }
    shard.data_offset = shard.head.size();
    shard.file_bytes += shard.data_offset;
    for (size_t t = shard.tensor_begin; t < shard.tensor_end; ++t) offsets_[t] += shard.data_offset;
  }
}

// Fills offsets_ (still relative to the data sections) and each shard's range and data bytes.
void GgufLayout::place_tensors(const std::vector<tensor::TensorInfo>& tensors,
                               const GgufWriteOptions& options) {
  shards_.emplace_back();
  if (options.no_tensor_first_shard && !tensors.empty()) shards_.emplace_back();
  for (size_t t = 0; t < tensors.size(); ++t) {
    const uint64_t bytes = padded(static_cast<uint64_t>(tensors[t].bytes()), alignment_);
    const size_t held = t - shards_.back().tensor_begin;
    const bool counted = !options.shard_tensors.empty();
    if (counted) CHECK(shards_.size() <= options.shard_tensors.size());
    const bool full = counted
                          ? held >= options.shard_tensors[shards_.size() - 1]
                          : (options.shard_tensors_max > 0 && held >= options.shard_tensors_max) ||
                                (options.shard_bytes_max > 0 &&
                                 shards_.back().file_bytes + bytes > options.shard_bytes_max);
    if (held > 0 && full) {
      shards_.emplace_back();
      shards_.back().tensor_begin = t;
    }
    Shard& shard = shards_.back();
    offsets_.push_back(shard.file_bytes);
    shard_of_.push_back(shards_.size() - 1);
    shard.file_bytes += bytes;
    shard.tensor_end = t + 1;
  }
  if (shards_.size() > 65535) {
    throw base::fail(ErrorKind::bad_input, "%zu shards are more than 65535; allow larger shards",
                     shards_.size());
  }
}

uint64_t GgufLayout::file_bytes() const {
  uint64_t sum = 0;
  for (const Shard& shard : shards_) sum += shard.file_bytes;
  return sum;
}

std::vector<std::string> GgufLayout::paths(const std::string& path) const {
  if (shards_.size() == 1) return {path};
  const std::string prefix =
      base::ends_with(path, ".gguf") ? path.substr(0, path.size() - 5) : path;
  std::vector<std::string> names;
  for (size_t i = 0; i < shards_.size(); ++i)
    names.push_back(shard_path(prefix, i, shards_.size()));
  return names;
}

GgufWriter::GgufWriter(const std::string& path, const Metadata& metadata,
                       std::vector<tensor::TensorInfo> tensors, const GgufWriteOptions& options,
                       base::OutputFile::Leftover leftover)
    : options_(options),
      tensors_(std::move(tensors)),
      layout_(metadata, tensors_, options),
      written_(tensors_.size()) {
  for (const std::string& name : layout_.paths(path)) {
    files_.push_back(std::make_unique<base::OutputFile>(name, leftover));
  }
}

void GgufWriter::set_metadata(const Metadata& metadata) {
  GgufLayout layout(metadata, tensors_, options_);
  CHECK(layout.shards().size() == layout_.shards().size());
  for (size_t i = 0; i < layout.shards().size(); ++i) {
    CHECK(layout.shards()[i].head.size() == layout_.shards()[i].head.size());
  }
  layout_ = std::move(layout);
}

GgufWriter::~GgufWriter() = default;

void GgufWriter::write_rows(size_t tensor, int64_t row_begin, std::span<const std::byte> bytes) {
  CHECK(tensor < tensors_.size() && row_begin >= 0);
  const auto row_bytes = static_cast<uint64_t>(tensors_[tensor].row_bytes());
  CHECK(bytes.size() % row_bytes == 0);
  const int64_t row_end = row_begin + static_cast<int64_t>(bytes.size() / row_bytes);
  CHECK(row_end <= tensors_[tensor].shape.rows());
  note_rows(tensor, row_begin, row_end);
  files_[layout_.shard_of(tensor)]->write_at(
      layout_.offset(tensor) + static_cast<uint64_t>(row_begin) * row_bytes, bytes);
}

void GgufWriter::note_rows(size_t tensor, int64_t begin, int64_t end) {
  if (begin == end) return;
  const std::lock_guard lock(mutex_);
  Ranges& ranges = written_[tensor];
  const auto next = ranges.lower_bound(begin);
  CHECK(next == ranges.end() || end <= next->first);
  CHECK(next == ranges.begin() || std::prev(next)->second <= begin);
  auto range = ranges.emplace_hint(next, begin, end);
  if (next != ranges.end() && next->first == end) {
    range->second = next->second;
    ranges.erase(next);
  }
  if (range != ranges.begin() && std::prev(range)->second == begin) {
    std::prev(range)->second = range->second;
    ranges.erase(range);
  }
}

std::vector<std::string> GgufWriter::partial_paths() const {
  std::vector<std::string> paths;
  for (const auto& file : files_) paths.push_back(file->partial_path());
  return paths;
}

void GgufWriter::sync() {
  for (const auto& file : files_) file->sync();
}

void GgufWriter::keep_partial() {
  for (const auto& file : files_) file->keep_partial();
}

void GgufWriter::finish() {
  for (size_t i = 0; i < files_.size(); ++i) {
    const std::string& head = layout_.shards()[i].head;
    files_[i]->write_at(0, std::as_bytes(std::span(head.data(), head.size())));
  }
  const std::vector<std::byte> zeros(layout_.alignment());
  for (size_t t = 0; t < tensors_.size(); ++t) {
    const auto bytes = static_cast<uint64_t>(tensors_[t].bytes());
    const Ranges& ranges = written_[t];
    CHECK(ranges.size() == 1 && ranges.begin()->first == 0 &&
          ranges.begin()->second == tensors_[t].shape.rows());
    files_[layout_.shard_of(t)]->write_at(
        layout_.offset(t) + bytes,
        std::span(zeros).first(padded(bytes, layout_.alignment()) - bytes));
  }
  sync();
  finished_ = true;
}

void GgufWriter::commit() {
  if (!finished_) finish();
  for (size_t i = 0; i < files_.size(); ++i) {
    files_[i]->truncate(layout_.shards()[i].file_bytes);
    files_[i]->commit();
  }
}

}  // namespace karat::format
