#include "exec/batches.h"

#include <algorithm>

#include "base/error.h"
#include "exec/batch_limits.h"

namespace karat::exec {

Batches::Batches(const model::Config& config, std::span<const int64_t> ends, int64_t rows_max,
                 std::optional<int64_t> only)
    : config_(config), ends_(ends), rows_max_(std::max<int64_t>(1, rows_max)), only_(only) {}

Batch Batches::next() {
  Batch batch;
  batch.first = begin(sequence_) + position_;
  std::vector<model::SequenceState> states;
  if (position_ > 0) states.push_back(std::move(states_.back()));
  states_ = std::move(states);
  const auto sequences_max = static_cast<size_t>(only_ ? kBlockSequencesMax : kSequencesMax);
  while (sequence_ < ends_.size() && batch.rows < rows_max_ && states_.size() < sequences_max) {
    const int64_t left = ends_[sequence_] - begin(sequence_) - position_;
    CHECK(left > 0);
    if (batch.rows > 0 && batch.rows + left > rows_max_) break;
    add(batch, std::min(left, rows_max_), left);
  }
  for (size_t i = 0; i < states_.size(); ++i) batch.segments[i].state = &states_[i];
  return batch;
}

void Batches::add(Batch& batch, int64_t rows, int64_t left) {
  if (position_ == 0) {
    states_.push_back(only_ ? model::SequenceState::of_block(config_, *only_)
                            : model::SequenceState(config_));
  }
  const auto sequence = static_cast<int64_t>(sequence_);
  batch.segments.push_back({sequence, rows, nullptr});
  batch.ends.push_back(rows == left ? 1 : 0);
  for (int64_t p = 0; p < rows; ++p) batch.origins.push_back({sequence, position_ + p});
  batch.rows += rows;
  position_ = rows == left ? 0 : position_ + rows;
  if (position_ == 0) ++sequence_;
}

std::vector<int64_t> equal_ends(int64_t count, int64_t length) {
  std::vector<int64_t> ends;
  for (int64_t i = 1; i <= count; ++i) ends.push_back(i * length);
  return ends;
}

MtpRows pair_for_mtp(std::span<const int32_t> all_tokens, const float* hidden, int64_t hidden_width,
                     Batch& batch) {
  MtpRows pairs;
  int64_t row = 0;
  for (size_t i = 0; i < batch.segments.size(); ++i) {
    const int64_t all = batch.segments[i].rows, count = all - batch.ends[i];
    const auto token = all_tokens.begin() + batch.first + row + 1;
    pairs.tokens.insert(pairs.tokens.end(), token, token + count);
    pairs.hidden.insert(pairs.hidden.end(), hidden + row * hidden_width,
                        hidden + (row + count) * hidden_width);
    batch.segments[i].rows = count;
    row += all;
  }
  return pairs;
}

}  // namespace karat::exec
