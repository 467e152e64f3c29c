#include "export/checkpoint.h"

#include <cinttypes>
#include <cstdio>
#include <optional>

#include "base/error.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/text.h"

namespace karat::exporting {

namespace {

constexpr uint64_t kPlaceBytes = 4096;  // two of these, then the fingerprint
constexpr uint64_t kTextBytesMax = uint64_t{1} << 26;
constexpr size_t kFooterBytes = 40;  // the file's last bytes

std::string footer_of(uint64_t at) { return base::strf("karat checkpoint %022" PRIu64 "\n", at); }

// One line of fixed form; the hash ties it to the fingerprint.
std::string place_of(const std::string& text, uint64_t sequence, uint64_t done) {
  const std::string line = base::strf("%020" PRIu64 " %020" PRIu64 " ", sequence, done);
  const std::string bound = text + line;
  return line + base::sha256_hex(std::as_bytes(std::span(bound.data(), bound.size()))) + "\n";
}

std::string read(const base::File& file, uint64_t offset, uint64_t bytes) {
  std::string text(bytes, '\0');
  file.read_at(offset, std::as_writable_bytes(std::span(text.data(), text.size())));
  return text;
}

// Where the journal of a partial file begins, if it ends as one does.
std::optional<uint64_t> journal_at(const base::File& file) {
  if (file.size() < kFooterBytes) return std::nullopt;
  const std::string footer = read(file, file.size() - kFooterBytes, kFooterBytes);
  uint64_t at = 0;
  if (std::sscanf(footer.c_str(), "karat checkpoint %22" SCNu64, &at) != 1) return std::nullopt;
  const bool sound = footer == footer_of(at) && at <= file.size() &&
                     file.size() - at >= 2 * kPlaceBytes + kFooterBytes &&
                     file.size() - at <= 2 * kPlaceBytes + kFooterBytes + kTextBytesMax;
  return sound ? std::optional(at) : std::nullopt;
}

}  // namespace

Checkpoint::Checkpoint(base::OutputFile& file, uint64_t data_bytes, const Fingerprint& fingerprint,
                       bool force)
    : file_(file),
      at_((data_bytes + kPlaceBytes - 1) / kPlaceBytes * kPlaceBytes),
      text_(base::fingerprint_text(fingerprint)) {
  if (take_up(force)) return;
  file_.truncate(0);
  file_.write_at(at_ + 2 * kPlaceBytes, std::as_bytes(std::span(text_.data(), text_.size())));
  const std::string footer = footer_of(at_);
  file_.write_at(at_ + 2 * kPlaceBytes + text_.size(),
                 std::as_bytes(std::span(footer.data(), footer.size())));
}

bool Checkpoint::take_up(bool force) {
  const base::File old(file_.partial_path());
  const std::string shown = base::printable(file_.partial_path());
  if (old.size() == 0) return false;
  const auto at = journal_at(old);
  if (!at) {
    base::warn("%s holds no checkpoint; begun anew", shown.c_str());
    return false;
  }
  const uint64_t text_at = *at + 2 * kPlaceBytes;
  const std::string theirs = read(old, text_at, old.size() - kFooterBytes - text_at);
  if (theirs != text_) {
    const std::string names = base::fingerprint_differences(theirs, text_);
    if (!names.empty() && !force) {
      throw base::fail(base::ErrorKind::exists,
                       "%s: was begun with other values of: %s; remove it, or --force begins anew",
                       shown.c_str(), names.c_str());
    }
    base::warn("%s: its checkpoint is %s; begun anew", shown.c_str(),
               names.empty() ? "damaged" : "another command's");
    return false;
  }
  bool blank = true;  // nothing was saved before the end
  for (const uint64_t place : {uint64_t{0}, kPlaceBytes}) {
    uint64_t sequence = 0, done = 0;
    const std::string line = read(old, *at + place, place_of("", 0, 0).size());
    blank = blank && line[0] == '\0';
    if (std::sscanf(line.c_str(), "%20" SCNu64 " %20" SCNu64, &sequence, &done) != 2) continue;
    if (line == place_of(text_, sequence, done) && sequence > sequence_) {
      sequence_ = sequence, done_ = done;
    }
  }
  if (sequence_ == 0 && !blank)
    base::warn("%s: its checkpoint is damaged; begun anew", shown.c_str());
  return sequence_ > 0;
}

void Checkpoint::save(uint64_t done) {
  CHECK(done >= done_);
  done_ = done;
  const std::string line = place_of(text_, ++sequence_, done);
  file_.write_at(at_ + sequence_ % 2 * kPlaceBytes,
                 std::as_bytes(std::span(line.data(), line.size())));
}

}  // namespace karat::exporting
