#include "eval/logits_file.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/error.h"
#include "base/text.h"

namespace karat::eval {

using base::ErrorKind;
using base::fail;

namespace {

constexpr std::string_view kMagic = "_logits_";
constexpr uint64_t kHeaderBytes = 8 + 3 * 4;
constexpr float kRange = 16;  // logits further below the maximum are stored as the minimum

uint64_t row_units(int64_t n_vocab) { return static_cast<uint64_t>(2 * ((n_vocab + 1) / 2) + 4); }

template <class T>
std::span<const std::byte> bytes_of(const std::vector<T>& values) {
  return std::as_bytes(std::span(values));
}

}  // namespace

LogitsWriter::LogitsWriter(const std::string& path, const LogitsHeader& header)
    : file_(path), n_vocab_(header.n_vocab) {
  file_.append(kMagic);
  const std::vector<int32_t> sizes = {static_cast<int32_t>(header.n_ctx),
                                      static_cast<int32_t>(header.n_vocab),
                                      static_cast<int32_t>(header.n_chunk)};
  file_.append(bytes_of(sizes));
  file_.append(bytes_of(header.tokens));
  data_offset_ = file_.position();
}

void LogitsWriter::write_row(int64_t row, std::span<const float> logits) {
  CHECK(static_cast<int64_t>(logits.size()) == n_vocab_);
  const auto [least, most] = std::minmax_element(logits.begin(), logits.end());
  const float high = *most, low = std::max(*least, high - kRange);
  double sum = 0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit - high));
  const float scale = (high - low) / 65535.0f;
  const float floor_log_prob = low - high - static_cast<float>(std::log(sum));
  std::vector<uint16_t> units(row_units(n_vocab_));
  std::memcpy(units.data(), &scale, 4);
  std::memcpy(units.data() + 2, &floor_log_prob, 4);
  const float inverse = scale > 0 ? 1.0f / scale : 0.0f;
  for (size_t i = 0; i < logits.size(); ++i) {
    const float code = logits[i] > low ? (logits[i] - low) * inverse : 0.0f;
    units[4 + i] = static_cast<uint16_t>(std::lrintf(std::min(code, 65535.0f)));
  }
  file_.write_at(data_offset_ + static_cast<uint64_t>(row) * units.size() * 2, bytes_of(units));
}

LogitsReader::LogitsReader(const std::string& path) : file_(path) {
  const std::string shown = base::printable(path);
  std::string magic(kMagic.size(), '\0');
  if (file_.size() >= kHeaderBytes) {
    file_.read_at(0, std::as_writable_bytes(std::span(magic.data(), magic.size())));
  }
  if (magic != kMagic) {
    throw fail(ErrorKind::bad_input, "%s: is not a logits file (made by --kl-divergence-base)",
               shown.c_str());
  }
  std::vector<int32_t> sizes(3);
  file_.read_at(8, std::as_writable_bytes(std::span(sizes)));
  header_.n_ctx = sizes[0], header_.n_vocab = sizes[1], header_.n_chunk = sizes[2];
  const bool sane = sizes[0] >= 2 && sizes[0] <= (1 << 24) && sizes[1] >= 1 &&
                    sizes[1] <= (1 << 24) && sizes[2] >= 1 && sizes[2] <= (1 << 24);
  if (!sane) {
    throw fail(ErrorKind::bad_input, "%s: header says %d tokens a chunk, %d entries, %d chunks",
               shown.c_str(), sizes[0], sizes[1], sizes[2]);
  }
  const uint64_t tokens =
      static_cast<uint64_t>(header_.n_ctx) * static_cast<uint64_t>(header_.n_chunk);
  const uint64_t rows = static_cast<uint64_t>(scored_per_chunk(header_.n_ctx) * header_.n_chunk);
  data_offset_ = kHeaderBytes + 4 * tokens;
  const uint64_t expected = data_offset_ + rows * row_units(header_.n_vocab) * 2;
  if (file_.size() < expected) {
    throw fail(ErrorKind::bad_input,
               "%s: has %llu bytes, its header asks for %llu; it is truncated", shown.c_str(),
               static_cast<unsigned long long>(file_.size()),
               static_cast<unsigned long long>(expected));
  }
  header_.tokens.resize(tokens);
  file_.read_at(kHeaderBytes, std::as_writable_bytes(std::span(header_.tokens)));
}

void LogitsReader::read_row(int64_t row, std::span<float> log_probs) const {
  CHECK(static_cast<int64_t>(log_probs.size()) == header_.n_vocab);
  std::vector<uint16_t> units(row_units(header_.n_vocab));
  file_.read_at(data_offset_ + static_cast<uint64_t>(row) * units.size() * 2,
                std::as_writable_bytes(std::span(units)));
  float scale = 0, floor_log_prob = 0;
  std::memcpy(&scale, units.data(), 4);
  std::memcpy(&floor_log_prob, units.data() + 2, 4);
  for (size_t i = 0; i < log_probs.size(); ++i) {
    log_probs[i] = scale * static_cast<float>(units[4 + i]) + floor_log_prob;
  }
}

}  // namespace karat::eval
