// Many sequences, one after the other, cut into the batches of forward passes.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "model/forward.h"

namespace karat::exec {

// Rows [first, first + rows) of all sequences' tokens: whole sequences, or a piece of one that is
// longer than a batch.
struct Batch {
  int64_t first = 0, rows = 0;
  std::vector<model::Segment> segments;
  std::vector<int64_t> ends;  // of segments: whether the sequence's last token is in it (0 or 1)
  std::vector<model::RowOrigin> origins;  // [rows]
};

// A sequence's state lives from its first piece to its last.
class Batches {
 public:
  // `ends`: where each sequence ends, rising; must outlive this object. With `only`, the states are
  // of that block alone.
  Batches(const model::Config& config, std::span<const int64_t> ends, int64_t rows_max,
          std::optional<int64_t> only = std::nullopt);
  // The next batch, valid until the next call; no rows: that was all. States do not advance by
  // themselves.
  Batch next();

 private:
  void add(Batch& batch, int64_t rows, int64_t left);
  int64_t begin(size_t sequence) const { return sequence == 0 ? 0 : ends_[sequence - 1]; }

  const model::Config& config_;
  std::span<const int64_t> ends_;
  int64_t rows_max_;
  std::optional<int64_t> only_;
  size_t sequence_ = 0;
  int64_t position_ = 0;
  std::vector<model::SequenceState> states_;
};

// Where sequences of `length` tokens end.
std::vector<int64_t> equal_ends(int64_t count, int64_t length);

// The rows of a batch that the MTP block sees: all but the last of each sequence, each paired with
// the token after it. Segments' rows become as many; hidden: [batch rows, hidden_width].
struct MtpRows {
  std::vector<int32_t> tokens;
  std::vector<float> hidden;  // [tokens.size(), hidden_width]
};
MtpRows pair_for_mtp(std::span<const int32_t> all_tokens, const float* hidden, int64_t hidden_width,
                     Batch& batch);

}  // namespace karat::exec
