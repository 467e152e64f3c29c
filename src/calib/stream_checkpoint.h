// How far an interrupted streamed calibration is: the rows between two blocks and the statistics so
// far, in OUT.checkpoint beside the output (FORMATS.md section 9).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "base/file.h"
#include "base/fingerprint.h"
#include "base/hash.h"
#include "model/tap.h"

namespace karat::calib {

// Numbers, texts and arrays of numbers one after the other, in this machine's byte order.
class StatisticsWriter {
 public:
  explicit StatisticsWriter(base::OutputFile& file) : file_(file) {}
  void bytes(std::span<const std::byte> bytes);
  void number(int64_t value) { bytes(std::as_bytes(std::span(&value, 1))); }
  void text(const std::string& value);
  template <class T>
  void values(std::span<const T> values) {
    static_assert(std::is_arithmetic_v<T>);
    number(static_cast<int64_t>(values.size()));
    bytes(std::as_bytes(values));
  }
  // SHA-256 of all that was written; nothing may follow.
  std::string hash() { return hash_.hex(); }

 private:
  base::OutputFile& file_;
  base::Sha256 hash_;
};

// Reads them in the same order. Error{bad_input} if they do not fit into the file.
class StatisticsReader {
 public:
  StatisticsReader(const base::File& file, uint64_t end) : file_(file), end_(end) {}
  void bytes(std::span<std::byte> out);
  int64_t number();
  std::string text();
  template <class T>
  std::vector<T> values() {
    std::vector<T> out(length(sizeof(T)));
    bytes(std::as_writable_bytes(std::span(out)));
    return out;
  }
  uint64_t left() const { return end_ - at_; }

 private:
  size_t length(size_t element_bytes);
  const base::File& file_;
  uint64_t at_ = 0, end_;
};

// A tap whose statistics an interrupted run can take up.
class KeptTap : public model::Tap {
 public:
  // What it collects, for fingerprints.
  virtual std::string name() const = 0;
  virtual void keep(StatisticsWriter& out) const = 0;
  virtual void take_up(StatisticsReader& in) = 0;  // what keep() wrote; replaces what is there
};

class StreamCheckpoint {
 public:
  // Of the output `out`; what a run with an equal fingerprint left is taken up.
  StreamCheckpoint(const std::string& out, const base::Fingerprint& fingerprint);

  // The stage that comes next by the file, with the taps' statistics and `rows` as they entered it;
  // none if there is no file or if it is damaged (a warning). Error{exists} naming what differs if
  // it is another command's or of changed inputs, unless `force`: then none, with a warning.
  std::optional<int64_t> take_up(std::span<KeptTap* const> taps, std::span<float> rows, bool force);
  // Replaces the file: `stage` comes next. Errors as base::OutputFile's; the old one then stays.
  void save(int64_t stage, std::span<const KeptTap* const> taps, std::span<const float> rows);
  // Removes the file, if this run took it up or wrote it: another command's stays.
  void remove();
  const std::string& path() const { return path_; }

 private:
  std::string path_, fingerprint_;
  bool ours_ = false;
};

}  // namespace karat::calib
