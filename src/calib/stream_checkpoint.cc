#include "calib/stream_checkpoint.h"

#include <algorithm>
#include <cstdio>

#include "base/error.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "base/text.h"

namespace karat::calib {

using base::ErrorKind;

namespace {

constexpr char kMagic[] = "karat streamed calibration 1";
constexpr size_t kHashBytes = 64;
constexpr size_t kPieceBytes = size_t{1} << 24;

// Whether the file ends with the hash of what stands before.
bool is_sound(const base::File& file) {
  if (file.size() < kHashBytes) return false;
  base::Sha256 hash;
  std::vector<std::byte> piece(kPieceBytes);
  const uint64_t end = file.size() - kHashBytes;
  for (uint64_t at = 0; at < end; at += kPieceBytes) {
    base::stop_if_interrupted();
    const std::span part(piece.data(), std::min<uint64_t>(kPieceBytes, end - at));
    file.read_at(at, part);
    hash.update(part);
  }
  std::string written(kHashBytes, '\0');
  file.read_at(end, std::as_writable_bytes(std::span(written.data(), written.size())));
  return written == hash.hex();
}

}  // namespace

void StatisticsWriter::bytes(std::span<const std::byte> bytes) {
  for (size_t at = 0; at < bytes.size(); at += kPieceBytes) {
    const auto piece = bytes.subspan(at, std::min(kPieceBytes, bytes.size() - at));
    hash_.update(piece);
    file_.append(piece);
  }
}

void StatisticsWriter::text(const std::string& value) {
  values(std::span<const char>(value.data(), value.size()));
}

void StatisticsReader::bytes(std::span<std::byte> out) {
  if (out.size() > left()) {
    throw base::fail(ErrorKind::bad_input, "%s: ends before its statistics do; remove it",
                     base::printable(file_.path()).c_str());
  }
  file_.read_at(at_, out);
  at_ += out.size();
}

int64_t StatisticsReader::number() {
  int64_t value = 0;
  bytes(std::as_writable_bytes(std::span(&value, 1)));
  return value;
}

size_t StatisticsReader::length(size_t element_bytes) {
  const int64_t count = number();
  if (count < 0 || static_cast<uint64_t>(count) > left() / element_bytes) {
    throw base::fail(ErrorKind::bad_input, "%s: %lld values do not fit into it; remove it",
                     base::printable(file_.path()).c_str(), static_cast<long long>(count));
  }
  return static_cast<size_t>(count);
}

std::string StatisticsReader::text() {
  const std::vector<char> letters = values<char>();
  return {letters.begin(), letters.end()};
}

StreamCheckpoint::StreamCheckpoint(const std::string& out, const base::Fingerprint& fingerprint)
    : path_(out + ".checkpoint"), fingerprint_(base::fingerprint_text(fingerprint)) {}

std::optional<int64_t> StreamCheckpoint::take_up(std::span<KeptTap* const> taps,
                                                 std::span<float> rows, bool force) {
  if (!base::file_exists(path_)) return std::nullopt;
  const base::File file(path_);
  const std::string shown = base::printable(path_);
  if (!is_sound(file)) {
    base::warn("%s: is damaged; begun anew", shown.c_str());
    return std::nullopt;
  }
  StatisticsReader in(file, file.size() - kHashBytes);
  if (in.text() != kMagic) {
    base::warn("%s: is of another version; begun anew", shown.c_str());
    return std::nullopt;
  }
  const std::string theirs = in.text();
  if (theirs != fingerprint_) {
    const std::string names = base::fingerprint_differences(theirs, fingerprint_);
    if (!force) {
      throw base::fail(ErrorKind::exists,
                       "%s: was begun with other values of: %s; remove it, or --force begins anew",
                       shown.c_str(), names.c_str());
    }
    base::warn("%s: is another command's; begun anew", shown.c_str());
    return std::nullopt;
  }
  ours_ = true;
  const int64_t stage = in.number();
  for (KeptTap* tap : taps) tap->take_up(in);
  in.bytes(std::as_writable_bytes(rows));
  return stage;
}

void StreamCheckpoint::save(int64_t stage, std::span<const KeptTap* const> taps,
                            std::span<const float> rows) {
  base::OutputFile file(path_);
  StatisticsWriter out(file);
  out.text(kMagic);
  out.text(fingerprint_);
  out.number(stage);
  for (const KeptTap* tap : taps) tap->keep(out);
  out.bytes(std::as_bytes(rows));
  file.append(out.hash());
  file.commit();
  ours_ = true;
}

void StreamCheckpoint::remove() {
  if (ours_) std::remove(path_.c_str());
}

}  // namespace karat::calib
