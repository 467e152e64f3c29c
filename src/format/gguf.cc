#include "format/gguf.h"

#include <array>
#include <string_view>

#include "base/error.h"
#include "base/text.h"
#include "format/gguf_head.h"

namespace karat::format {

namespace {

using base::ErrorKind;
using base::printable;

constexpr uint64_t kShardsMax = 65535;  // split.count is a u16

// The part of `path` before "-0000i-of-0000N.gguf".
std::string shard_prefix(const std::string& path, uint64_t number, uint64_t count) {
  const std::string suffix = shard_path("", number, count);
  if (!base::ends_with(path, suffix)) {
    throw base::fail(ErrorKind::bad_input,
                     "%s: is shard %llu of %llu, so its name must end in %s for the others to be "
                     "found; give it back its name",
                     printable(path).c_str(), static_cast<unsigned long long>(number + 1),
                     static_cast<unsigned long long>(count), suffix.c_str());
  }
  return path.substr(0, path.size() - suffix.size());
}

void check_shard(const GgufHead& shard, const Metadata& first, const std::string& path,
                 uint64_t number, uint64_t count) {
  const Metadata& keys = shard.metadata;
  const auto refuse = [&](const std::string& problem) {
    throw base::fail(ErrorKind::bad_input, "%s: %s; fetch the shards of one model again",
                     printable(path).c_str(), problem.c_str());
  };
  if (keys.get_uint(kSplitNo) != number || keys.get_uint(kSplitCount) != count) {
    refuse(base::strf("says it is shard %llu of %llu, its name says %llu of %llu",
                      static_cast<unsigned long long>(keys.get_uint(kSplitNo) + 1),
                      static_cast<unsigned long long>(keys.get_uint(kSplitCount)),
                      static_cast<unsigned long long>(number + 1),
                      static_cast<unsigned long long>(count)));
  }
  for (const Metadata::Entry& entry : keys.entries()) {
    if (entry.key == kSplitNo) continue;
    const Value* expected = first.find(entry.key);
    if (expected == nullptr || !(*expected == entry.value)) {
      refuse(base::strf("key '%s' is %s, the first shard has %s: it is from another model",
                        printable(entry.key).c_str(), entry.value.str().c_str(),
                        expected ? expected->str().c_str() : "none"));
    }
  }
}

}  // namespace

std::string shard_path(const std::string& prefix, uint64_t number, uint64_t count) {
  return prefix + base::strf("-%05llu-of-%05llu.gguf", static_cast<unsigned long long>(number + 1),
                             static_cast<unsigned long long>(count));
}

bool is_gguf(const std::string& path) {
  const base::File file(path);
  std::array<char, 4> magic{};
  if (file.size() < magic.size()) return false;
  file.read_at(0, std::as_writable_bytes(std::span(magic)));
  return std::string_view(magic.data(), magic.size()) == "GGUF";
}

void drop_split_keys(Metadata& metadata) {
  for (const char* key : {kSplitNo, kSplitCount, kSplitTensorsCount}) metadata.remove(key);
}

GgufSource::GgufSource(const std::string& path) {
  GgufHead head = read_gguf_head(add_file(base::File(path)));
  alignment_ = head.alignment;
  metadata_ = std::move(head.metadata);
  add_tensors(std::move(head.tensors), head.offsets);
  // gguf-split leaves split.count = 0 in a file it has merged.
  const int64_t shards = metadata_.get_int(kSplitCount, 1);
  if (shards < 0 || static_cast<uint64_t>(shards) > kShardsMax) {
    throw base::fail(ErrorKind::bad_input,
                     "%s: split.count is %lld, at most %llu are possible; "
                     "fetch or make the file again",
                     printable(path).c_str(), static_cast<long long>(shards),
                     static_cast<unsigned long long>(kShardsMax));
  }
  if (shards > 1) open_shards(path, static_cast<uint64_t>(shards));
  check_unique_names();
}

void GgufSource::open_shards(const std::string& path, uint64_t count) {
  const uint64_t number = metadata_.get_uint(kSplitNo);
  if (number >= count) {
    throw base::fail(ErrorKind::bad_input,
                     "%s: split.no is %llu of %llu shards; fetch or make the "
                     "file again",
                     printable(path).c_str(), static_cast<unsigned long long>(number),
                     static_cast<unsigned long long>(count));
  }
  const std::string prefix = shard_prefix(path, number, count);
  if (number != 0) {
    throw base::fail(ErrorKind::bad_input, "%s: is shard %llu of %llu; give the first one, %s",
                     printable(path).c_str(), static_cast<unsigned long long>(number + 1),
                     static_cast<unsigned long long>(count),
                     printable(shard_path(prefix, 0, count)).c_str());
  }
  for (uint64_t i = 1; i < count; ++i) {
    const std::string name = shard_path(prefix, i, count);
    if (!base::file_exists(name)) {
      throw base::fail(ErrorKind::bad_input, "%s: shard %llu of %llu is missing; fetch it too",
                       printable(name).c_str(), static_cast<unsigned long long>(i + 1),
                       static_cast<unsigned long long>(count));
    }
    GgufHead head = read_gguf_head(add_file(base::File(name)));
    check_shard(head, metadata_, name, i, count);
    add_tensors(std::move(head.tensors), head.offsets);
  }
  const uint64_t expected = metadata_.get_uint(kSplitTensorsCount);
  if (tensors().size() != expected) {
    throw base::fail(
        ErrorKind::bad_input,
        "%s: the %llu shards have %zu tensors, split.tensors.count says %llu; fetch the "
        "shards of one model again",
        printable(path).c_str(), static_cast<unsigned long long>(count), tensors().size(),
        static_cast<unsigned long long>(expected));
  }
}

void GgufSource::add_tensors(std::vector<tensor::TensorInfo> tensors,
                             const std::vector<uint64_t>& offsets) {
  const auto file = static_cast<uint32_t>(files().size() - 1);
  for (size_t i = 0; i < tensors.size(); ++i) {
    add_tensor(std::move(tensors[i]), {file, offsets[i]});
  }
}

}  // namespace karat::format
