#include "format/imatrix_dat.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/text.h"

namespace karat::format {

namespace {

using base::ErrorKind;
using base::printable;
using tensor::Importance;
using tensor::ImportanceEntry;

constexpr const char* kDamaged = "the file is damaged or incomplete, fetch or make it again";

// Reads forward, never past the end of the file.
class Cursor {
 public:
  explicit Cursor(const base::File& file) : file_(file) {}

  uint64_t left() const { return file_.size() - position_; }

  [[noreturn]] void refuse(const std::string& problem) const {
    throw base::fail(ErrorKind::bad_input, "%s: at byte %llu: %s; %s",
                     printable(file_.path()).c_str(), static_cast<unsigned long long>(position_),
                     problem.c_str(), kDamaged);
  }

  void need(uint64_t bytes, const std::string& what) const {
    if (bytes <= left()) return;
    refuse(base::strf("%s takes %llu bytes, the file ends %llu bytes on", what.c_str(),
                      static_cast<unsigned long long>(bytes),
                      static_cast<unsigned long long>(left())));
  }

  void read(std::span<std::byte> out, const std::string& what) {
    need(out.size(), what);
    file_.read_at(position_, out);
    position_ += out.size();
  }

  // A count or length, which must not be negative.
  uint64_t number(const std::string& what) {
    int32_t value = 0;
    read(std::as_writable_bytes(std::span(&value, 1)), what);
    if (value < 0) refuse(base::strf("%s is %d", what.c_str(), value));
    return static_cast<uint64_t>(value);
  }

  std::string text(const std::string& what) {
    const uint64_t length = number("the length of " + what);
    need(length, what);
    std::string value(length, '\0');
    read(std::as_writable_bytes(std::span(value.data(), value.size())), what);
    return value;
  }

 private:
  const base::File& file_;
  uint64_t position_ = 0;
};

std::string read_name(Cursor& in) {
  std::string name = in.text("the name of an entry");
  const bool plain = std::none_of(name.begin(), name.end(), [](char c) {
    return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
  });
  if (name.empty() || !plain || !base::is_utf8(name)) {
    in.refuse("'" + printable(name) + "' is no name of a weight");
  }
  return name;
}

ImportanceEntry read_entry(Cursor& in, const std::string& name, uint32_t chunk_size) {
  const std::string shown = "entry '" + printable(name) + "'";
  const uint64_t calls = in.number("the calls of " + shown);
  const uint64_t size = in.number("the size of " + shown);
  if (size == 0) in.refuse(shown + " is empty");
  in.need(4 * size, shown);
  std::vector<float> stored(size);
  in.read(std::as_writable_bytes(std::span(stored)), shown);
  ImportanceEntry entry;
  entry.cols = static_cast<int64_t>(size);
  // llama-quantize takes the values as averages if there is no number of calls.
  entry.counts = {static_cast<int64_t>(std::max<uint64_t>(calls, 1)) * chunk_size};
  entry.in_sum2.reserve(size);
  for (const float value : stored) {
    if (!(std::isfinite(value) && value >= 0)) {
      in.refuse(shown + " has a value that is negative or not finite");
    }
    entry.in_sum2.push_back(static_cast<double>(value) * chunk_size);
  }
  return entry;
}

void put(std::string& out, int32_t value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof(value));
}

int32_t in_32_bits(int64_t value, const std::string& path, const std::string& what) {
  if (value <= INT32_MAX) return static_cast<int32_t>(value);
  throw base::fail(ErrorKind::bad_input,
                   "%s: %s is %lld, beyond the 32 bits of a .dat file; write a .gguf",
                   printable(path).c_str(), what.c_str(), static_cast<long long>(value));
}

// The stored values, in the single precision and order of llama-imatrix, so that its bytes result.
std::string values_of(const ImportanceEntry& entry, int32_t calls) {
  std::string out;
  out.reserve(4 * entry.in_sum2.size());
  const size_t cols = entry.in_sum2.size() / entry.counts.size();
  const auto factor = static_cast<float>(calls);
  for (size_t i = 0; i < entry.in_sum2.size(); ++i) {
    const auto count = static_cast<float>(entry.counts[i / cols]);
    const float value = count > 0 ? static_cast<float>(entry.in_sum2[i]) / count * factor : factor;
    out.append(reinterpret_cast<const char*>(&value), sizeof(value));
  }
  return out;
}

void warn_of_empty(const std::string& path, const std::vector<std::string>& names) {
  std::string list;
  for (const std::string& name : names) list += (list.empty() ? "" : ", ") + name;
  base::warn("%s: a .dat file cannot hold entries without data; left out: %s",
             printable(path).c_str(), printable(list, 400).c_str());
}

}  // namespace

Importance read_imatrix_dat(const std::string& path, uint32_t chunk_size) {
  CHECK(chunk_size >= 1);
  const base::File file(path);
  Cursor in(file);
  Importance importance;
  importance.file = path;
  importance.chunk_size = chunk_size;
  const uint64_t entries = in.number("the number of entries");
  if (entries == 0) in.refuse("there are no entries");
  for (uint64_t i = 0; i < entries; ++i) {
    const std::string name = read_name(in);
    if (importance.entries.contains(name)) {
      in.refuse("entry '" + printable(name) + "' occurs twice");
    }
    importance.entries.emplace(name, read_entry(in, name, chunk_size));
  }
  // Files of 2023 end here.
  if (in.left() == 0) return importance;
  importance.chunk_count = static_cast<uint32_t>(in.number("the number of chunks"));
  if (in.left() == 0) return importance;
  const std::string dataset = in.text("the name of the data set");
  if (!base::is_utf8(dataset)) in.refuse("the name of the data set is not UTF-8");
  if (!dataset.empty()) importance.datasets = {dataset};
  if (in.left() > 0) {
    in.refuse(base::strf("%llu bytes follow the end", static_cast<unsigned long long>(in.left())));
  }
  return importance;
}

void write_imatrix_dat(const std::string& path, const Importance& importance) {
  const int64_t chunk_size = std::max<int64_t>(1, importance.chunk_size);
  std::string body;
  std::vector<std::string> empty;
  int32_t written = 0;
  for (const auto& [name, entry] : importance.entries) {
    const auto count_size = static_cast<int64_t>(entry.counts.size());
    CHECK(count_size == 1 || count_size == entry.mats);
    const int64_t most = *std::max_element(entry.counts.begin(), entry.counts.end());
    if (most == 0) {
      empty.push_back(name);
      continue;
    }
    ++written;
    put(body, in_32_bits(static_cast<int64_t>(name.size()), path, "a name's length"));
    body += name;
    const int32_t calls = in_32_bits((most - 1) / chunk_size + 1, path, "a number of calls");
    put(body, calls);
    put(body, in_32_bits(static_cast<int64_t>(entry.in_sum2.size()), path, "an entry's size"));
    body += values_of(entry, calls);
  }
  if (!empty.empty()) warn_of_empty(path, empty);
  if (written == 0) {
    throw base::fail(ErrorKind::bad_input, "%s: no entry has data, so nothing can be written",
                     printable(path).c_str());
  }
  const std::string dataset = importance.datasets.empty() ? "" : importance.datasets.back();
  std::string head;
  put(head, written);
  put(body, in_32_bits(importance.chunk_count, path, "the number of chunks"));
  put(body, in_32_bits(static_cast<int64_t>(dataset.size()), path, "the data set's length"));
  base::OutputFile file(path);
  file.append(head);
  file.append(body);
  file.append(dataset);
  file.commit();
}

}  // namespace karat::format
