// llama-perplexity's logits file ("--kl-divergence-base", FORMATS.md section 7.2): the reference
// model's log-probabilities of every scored position, 16 bits per vocabulary entry.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/file.h"

namespace karat::eval {

struct LogitsHeader {
  int64_t n_ctx = 0, n_vocab = 0, n_chunk = 0;
  std::vector<int32_t> tokens;  // [n_chunk * n_ctx]
};

// Scored positions per chunk: the second half but the last.
inline int64_t scored_per_chunk(int64_t n_ctx) { return n_ctx - 1 - n_ctx / 2; }

// Row format: f32 scale, f32 minimum log-probability, n_vocab u16 codes (one of padding if odd).
class LogitsWriter {
 public:
  LogitsWriter(const std::string& path, const LogitsHeader& header);
  // Scored row `row` (chunk * scored_per_chunk + i); thread-safe.
  void write_row(int64_t row, std::span<const float> logits);
  void commit() { file_.commit(); }

 private:
  base::OutputFile file_;
  uint64_t data_offset_;
  int64_t n_vocab_;
};

class LogitsReader {
 public:
  // Error{bad_input} for a file that is not one, is truncated, or has impossible sizes.
  explicit LogitsReader(const std::string& path);
  const LogitsHeader& header() const { return header_; }
  // Log-probabilities [n_vocab] of a scored row; thread-safe.
  void read_row(int64_t row, std::span<float> log_probs) const;

 private:
  base::File file_;
  LogitsHeader header_;
  uint64_t data_offset_ = 0;
};

}  // namespace karat::eval
