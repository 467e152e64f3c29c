#include "format/imatrix.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "base/error.h"
#include "base/text.h"
#include "format/gguf.h"
#include "format/gguf_writer.h"
#include "format/imatrix_dat.h"
#include "format/sniff.h"

namespace karat::format {

namespace {

using base::ErrorKind;
using base::printable;
using tensor::DType;
using tensor::Importance;
using tensor::ImportanceEntry;
using tensor::TensorInfo;

constexpr const char* kDatasets = "imatrix.datasets";
constexpr const char* kChunkCount = "imatrix.chunk_count";
constexpr const char* kChunkSize = "imatrix.chunk_size";
constexpr const char* kNextnLayers = "imatrix.n_layer_nextn";
constexpr const char* kStatsSchema = "imatrix.stats_schema";
constexpr std::string_view kSums2 = ".in_sum2", kCounts = ".counts", kSums = ".in_sum",
                           kStats = ".stats";

std::vector<std::byte> head_of(const std::string& path) {
  const base::File file(path);
  std::vector<std::byte> head(std::min<uint64_t>(kSniffBytes, file.size()));
  file.read_at(0, head);
  return head;
}

ImatrixLayout layout_of(const std::string& path) {
  const std::vector<std::byte> head = head_of(path);
  if (is_imatrix_dat(head)) return ImatrixLayout::dat;
  const std::string look = look_of(head);
  if (look == "a GGUF file") return ImatrixLayout::gguf;
  throw base::fail(ErrorKind::bad_input,
                   "%s: not an imatrix file%s%s; 'karat calibrate -m MODEL -f TEXT -o OUT.gguf' "
                   "makes one from a "
                   "text",
                   printable(path).c_str(), look.empty() ? "" : ", it looks like ", look.c_str());
}

void check_keys(const GgufSource& file, const std::string& path) {
  const Metadata& keys = file.metadata();
  if (keys.get_string("general.type", "") == "imatrix" && keys.has(kChunkCount) &&
      keys.has(kChunkSize)) {
    return;
  }
  const std::string architecture = keys.get_string("general.architecture", "");
  throw base::fail(
      ErrorKind::bad_input,
      "%s: not an imatrix but %s%s; 'karat calibrate -m MODEL -f TEXT -o OUT.gguf' makes one",
      printable(path).c_str(),
      architecture.empty() ? "another kind of GGUF file" : "a model of architecture ",
      printable(architecture).c_str());
}

// Where each of kActivationStatistics stands in the file's .stats; file's order is its schema's.
std::vector<std::optional<size_t>> stats_places(const Metadata& keys) {
  if (!keys.has(kStatsSchema)) return {};
  const auto& schema = keys.get_array<std::string>(kStatsSchema);
  std::vector<std::optional<size_t>> places;
  for (const char* name : tensor::kActivationStatistics) {
    const auto at = std::find(schema.begin(), schema.end(), name);
    places.push_back(at == schema.end() ? std::nullopt
                                        : std::optional(static_cast<size_t>(at - schema.begin())));
  }
  return places;
}

class Reader {
 public:
  Reader(const GgufSource& file, const std::string& path)
      : file_(file), path_(path), stats_places_(stats_places(file.metadata())) {}

  ImportanceEntry entry(const TensorInfo& sums2) const {
    const std::string name = sums2.name.substr(0, sums2.name.size() - kSums2.size());
    const TensorInfo* counts = file_.find(name + std::string(kCounts));
    if (counts == nullptr) refuse(sums2, "has no .counts beside it");
    if (sums2.shape.rank() > 2) refuse(sums2, "has more than two dimensions");
    ImportanceEntry entry;
    entry.cols = sums2.shape.cols();
    entry.mats = sums2.shape.rows();
    entry.in_sum2 = values(sums2);
    for (const double count : values(*counts)) {
      if (!(count >= 0 && count < 0x1p62)) refuse(*counts, "has a count that is not a number >= 0");
      entry.counts.push_back(std::llround(count));
    }
    const auto count_size = static_cast<int64_t>(entry.counts.size());
    if (count_size != 1 && count_size != entry.mats) {
      refuse(*counts, "has another number of matrices than .in_sum2");
    }
    if (!std::all_of(entry.in_sum2.begin(), entry.in_sum2.end(),
                     [](double sum) { return std::isfinite(sum) && sum >= 0; })) {
      refuse(sums2, "has a sum of squares that is negative or not finite");
    }
    if (const TensorInfo* sums = file_.find(name + std::string(kSums))) {
      if (sums->shape.elements() != sums2.shape.elements()) {
        refuse(*sums, "has another size than .in_sum2");
      }
      entry.in_sum = values(*sums);
      if (!std::all_of(entry.in_sum.begin(), entry.in_sum.end(),
                       [](double sum) { return std::isfinite(sum); })) {
        refuse(*sums, "has a sum that is not finite");
      }
    }
    entry.stats = stats(name);
    return entry;
  }

  [[noreturn]] void refuse(const TensorInfo& tensor, const char* problem) const {
    throw base::fail(ErrorKind::bad_input, "%s: tensor '%s' %s; run 'karat calibrate' again",
                     printable(path_).c_str(), printable(tensor.name).c_str(), problem);
  }

 private:
  std::vector<float> floats(const TensorInfo& tensor) const {
    if (tensor.dtype != DType::f32) refuse(tensor, "is not of type f32");
    std::vector<float> stored(static_cast<size_t>(tensor.shape.elements()));
    file_.read(tensor, std::as_writable_bytes(std::span(stored)));
    return stored;
  }

  std::vector<double> values(const TensorInfo& tensor) const {
    const std::vector<float> stored = floats(tensor);
    return {stored.begin(), stored.end()};
  }

  // The derived statistics in our order; empty if the file has none or does not name their order.
  std::vector<float> stats(const std::string& name) const {
    const TensorInfo* tensor = file_.find(name + std::string(kStats));
    if (tensor == nullptr || stats_places_.empty()) return {};
    const std::vector<float> stored = floats(*tensor);
    std::vector<float> out;
    for (const std::optional<size_t>& place : stats_places_) {
      if (place && *place >= stored.size()) refuse(*tensor, "is shorter than its schema");
      out.push_back(place ? stored[*place] : std::nanf(""));
    }
    return out;
  }

  const GgufSource& file_;
  const std::string& path_;
  std::vector<std::optional<size_t>> stats_places_;
};

uint32_t chunk_number(const GgufSource& file, const char* key) {
  const uint64_t number = file.metadata().has(key) ? file.metadata().get_uint(key) : 0;
  if (number > UINT32_MAX) {
    throw base::fail(ErrorKind::bad_input, "%s: key '%s' is %llu, beyond 32 bits; calibrate again",
                     printable(file.metadata().origin()).c_str(), key,
                     static_cast<unsigned long long>(number));
  }
  return static_cast<uint32_t>(number);
}

// One statistic as it will be stored.
struct Item {
  TensorInfo info;
  std::vector<float> values;
};

template <class T>
void add(std::vector<Item>& items, std::string name, tensor::Shape shape,
         const std::vector<T>& values) {
  CHECK(static_cast<int64_t>(values.size()) == shape.elements());
  Item item{{std::move(name), DType::f32, std::move(shape)}, {}};
  item.values.reserve(values.size());
  for (const T value : values) item.values.push_back(static_cast<float>(value));
  items.push_back(std::move(item));
}

Importance read_gguf(const std::string& path) {
  const GgufSource file(path);
  check_keys(file, path);
  Importance importance;
  importance.file = path;
  if (file.metadata().has(kDatasets)) {
    importance.datasets = file.metadata().get_array<std::string>(kDatasets);
  }
  importance.chunk_count = chunk_number(file, kChunkCount);
  importance.chunk_size = chunk_number(file, kChunkSize);
  importance.nextn_layers = chunk_number(file, kNextnLayers);
  const Reader reader(file, path);
  for (const TensorInfo& tensor : file.tensors()) {
    if (base::ends_with(tensor.name, kSums2)) {
      importance.entries.emplace(tensor.name.substr(0, tensor.name.size() - kSums2.size()),
                                 reader.entry(tensor));
    } else if (base::ends_with(tensor.name, kCounts)) {
      const std::string name = tensor.name.substr(0, tensor.name.size() - kCounts.size());
      if (file.find(name + std::string(kSums2)) == nullptr) {
        reader.refuse(tensor, "has no .in_sum2 beside it");
      }
    }
  }
  if (importance.entries.empty()) {
    throw base::fail(ErrorKind::bad_input,
                     "%s: an imatrix without entries; run 'karat calibrate' "
                     "again",
                     printable(path).c_str());
  }
  return importance;
}

void write_gguf(const std::string& path, const Importance& importance) {
  Metadata keys(path);
  keys.set("general.type", "imatrix");
  keys.set(kDatasets, importance.datasets);
  keys.set(kChunkCount, importance.chunk_count);
  keys.set(kChunkSize, importance.chunk_size);
  if (importance.nextn_layers > 0) keys.set(kNextnLayers, importance.nextn_layers);
  const auto has_stats = [](const auto& named) { return !named.second.stats.empty(); };
  if (std::any_of(importance.entries.begin(), importance.entries.end(), has_stats)) {
    keys.set(kStatsSchema, std::vector<std::string>(tensor::kActivationStatistics.begin(),
                                                    tensor::kActivationStatistics.end()));
  }
  std::vector<Item> items;
  for (const auto& [name, entry] : importance.entries) {
    const auto count_size = static_cast<int64_t>(entry.counts.size());
    CHECK(count_size == 1 || count_size == entry.mats);
    add(items, name + std::string(kSums2), {entry.mats, entry.cols}, entry.in_sum2);
    add(items, name + std::string(kCounts), {count_size, 1}, entry.counts);
    if (!entry.in_sum.empty()) {
      add(items, name + std::string(kSums), {entry.mats, entry.cols}, entry.in_sum);
    }
    if (!entry.stats.empty()) {
      add(items, name + std::string(kStats), {static_cast<int64_t>(entry.stats.size())},
          entry.stats);
    }
  }
  std::vector<TensorInfo> infos;
  for (const Item& item : items) infos.push_back(item.info);
  GgufWriter writer(path, keys, infos, {.drop_unit_dims = true});
  for (size_t i = 0; i < items.size(); ++i)
    writer.write(i, std::as_bytes(std::span(items[i].values)));
  writer.commit();
}

}  // namespace

bool is_imatrix_dat(const std::string& path) { return is_imatrix_dat(head_of(path)); }

bool is_imatrix(const std::string& path) {
  if (base::is_directory(path)) return false;
  if (is_imatrix_dat(path)) return true;
  return is_gguf(path) && GgufSource(path).metadata().get_string("general.type", "") == "imatrix";
}

Importance read_imatrix(const std::string& path, uint32_t dat_chunk_size) {
  return layout_of(path) == ImatrixLayout::dat ? read_imatrix_dat(path, dat_chunk_size)
                                               : read_gguf(path);
}

void write_imatrix(const std::string& path, const Importance& importance, ImatrixLayout layout) {
  if (layout == ImatrixLayout::dat) {
    write_imatrix_dat(path, importance);
  } else {
    write_gguf(path, importance);
  }
}

}  // namespace karat::format
