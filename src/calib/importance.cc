#include "calib/importance.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "base/error.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "base/text.h"
#include "kernels/dispatch.h"
#include "model/names.h"

namespace karat::calib {

using base::ErrorKind;
using base::fail;
using tensor::ImportanceEntry;

namespace {

ImportanceEntry& entry_for(tensor::Importance& importance, const model::LinearInput& input,
                           int64_t experts) {
  const auto [at, is_new] = importance.entries.try_emplace(std::string(input.weight));
  ImportanceEntry& entry = at->second;
  if (is_new) {
    entry.cols = input.cols;
    entry.mats = input.expert >= 0 ? experts : 1;
    entry.in_sum2.resize(static_cast<size_t>(entry.cols * entry.mats));
    entry.in_sum.resize(entry.in_sum2.size());
    entry.counts.resize(static_cast<size_t>(entry.mats));
  }
  CHECK(entry.cols == input.cols);
  return entry;
}

// Columns whose sums are made together: both sums of all of them stay in the first-level cache.
constexpr int64_t kColumns = 128;
// Fewer rows than this (an expert that few tokens reach) are not worth waking threads for.
constexpr int64_t kRowsToSpread = 64;

// Adds the rows' columns [first, first + count) to sum2[0..count) and sum[0..count).
void add_columns(const model::LinearInput& input, int64_t first, int64_t count, double* sum2,
                 double* sum) {
  std::array<double, kColumns> squares, values;
  std::copy_n(sum2, count, squares.data());
  std::copy_n(sum, count, values.data());
  for (int64_t r = 0; r < input.count; ++r) {
    const float* row = input.rows + r * input.ld + first;
    for (int64_t c = 0; c < count; ++c) {
      const auto i = static_cast<size_t>(c);
      const double x = static_cast<double>(row[c]);
      squares[i] += x * x;
      values[i] += x;
    }
  }
  std::copy_n(squares.data(), count, sum2);
  std::copy_n(values.data(), count, sum);
}

// The corpus' tokens from `first` on, [rows], as one batch: whole chunks, or a piece of one that is
// longer than a batch.
struct Batch {
  int64_t first = 0, rows = 0;
  std::vector<model::Segment> segments;
  std::vector<int64_t> ends;  // of segments: whether the chunk's last token is in it (0 or 1)
  std::vector<model::RowOrigin> origins;
};

// Cuts a corpus into batches. A chunk's state lives from its first piece to its last.
class Batches {
 public:
  Batches(const model::Config& config, const Corpus& corpus, int64_t rows_max)
      : config_(config), corpus_(corpus), rows_max_(std::max<int64_t>(1, rows_max)) {}
  // The next batch, valid until the next call; no rows: that was all.
  Batch next() {
    Batch batch;
    batch.first = corpus_.begin(chunk_) + position_;
    std::vector<model::SequenceState> states;
    if (position_ > 0) states.push_back(std::move(states_.back()));
    states_ = std::move(states);
    while (chunk_ < corpus_.chunks && batch.rows < rows_max_) {
      const int64_t left = static_cast<int64_t>(corpus_.chunk(chunk_).size()) - position_;
      if (batch.rows > 0 && batch.rows + left > rows_max_) break;
      add(batch, std::min(left, rows_max_), left);
    }
    for (size_t i = 0; i < states_.size(); ++i) batch.segments[i].state = &states_[i];
    return batch;
  }

 private:
  void add(Batch& batch, int64_t rows, int64_t left) {
    if (position_ == 0) states_.emplace_back(config_);
    batch.segments.push_back({chunk_, rows, nullptr});
    batch.ends.push_back(rows == left ? 1 : 0);
    for (int64_t p = 0; p < rows; ++p) batch.origins.push_back({chunk_, position_ + p});
    batch.rows += rows;
    position_ = rows == left ? 0 : position_ + rows;
    if (position_ == 0) ++chunk_;
  }

  const model::Config& config_;
  const Corpus& corpus_;
  int64_t rows_max_, chunk_ = 0, position_ = 0;
  std::vector<model::SequenceState> states_;
};

void see_output(ImportanceTap& tap, const float* hidden, const Batch& batch, int64_t cols) {
  model::LinearInput input{};
  input.weight = model::kOutput;
  input.layer = -1;
  input.rows = hidden;
  input.count = batch.rows;
  input.cols = input.ld = cols;
  input.origins = batch.origins;
  tap.linear_input(input);
}

// The pairs (token p+1, hidden row p) of every chunk through the MTP block.
void run_mtp(const exec::ResidentModel& model, const model::ForwardContext& context,
             const Corpus& corpus, const std::vector<float>& hidden, Batch& batch) {
  const int64_t width = model.config().hidden;
  std::vector<int32_t> next;
  std::vector<float> rows;
  int64_t row = 0;
  for (size_t i = 0; i < batch.segments.size(); ++i) {
    const int64_t all = batch.segments[i].rows, count = all - batch.ends[i];
    const auto token = corpus.tokens.begin() + batch.first + row + 1;
    next.insert(next.end(), token, token + count);
    rows.insert(rows.end(), hidden.begin() + row * width, hidden.begin() + (row + count) * width);
    batch.segments[i].rows = count;
    row += all;
  }
  std::vector<float> out(rows.size());
  model::forward_mtp(context, *model.mtp(), model.head(), batch.segments, next, rows.data(),
                     out.data());
}

}  // namespace

void ImportanceTap::linear_input(const model::LinearInput& input) {
  if (input.layer < 0 && !with_output_) return;
  ImportanceEntry& entry = entry_for(importance_, input, experts_);
  const int64_t mat = std::max<int64_t>(input.expert, 0);
  double* sum2 = entry.in_sum2.data() + mat * entry.cols;
  double* sum = entry.in_sum.data() + mat * entry.cols;
  const auto add_block = [&](int64_t block, int) {
    const int64_t first = block * kColumns;
    add_columns(input, first, std::min(kColumns, entry.cols - first), sum2 + first, sum + first);
  };
  const int64_t blocks = (entry.cols + kColumns - 1) / kColumns;
  if (input.count >= kRowsToSpread) {
    pool_.for_each(blocks, add_block);
  } else {
    for (int64_t block = 0; block < blocks; ++block) add_block(block, 0);
  }
  entry.counts[static_cast<size_t>(mat)] += input.count;
}

void ImportanceTap::require_finite(const std::string& model) const {
  for (const auto& [name, entry] : importance_.entries) {
    double total = 0;
    for (const double value : entry.in_sum2) total += value;
    if (!std::isfinite(total)) {
      throw fail(
          ErrorKind::bad_input,
          "%s: the input of tensor '%s' holds NaN or infinity; weights before it are damaged, "
          "convert the model to see which",
          base::printable(model).c_str(), base::printable(name).c_str());
    }
  }
}

tensor::Importance calibrate(const exec::ResidentModel& model, const Corpus& corpus,
                             const CalibrateOptions& options, base::ThreadPool& pool) {
  const model::Config& config = model.config();
  ImportanceTap tap(config.experts, options.process_output, pool);
  const model::ForwardContext context{config, pool, kernels::table(), options.forward, &tap};
  Batches batches(config, corpus, options.batch_tokens);
  base::Progress progress("calibrate", "tokens", static_cast<double>(corpus.tokens_used()));
  for (Batch batch = batches.next(); batch.rows > 0; batch = batches.next()) {
    base::stop_if_interrupted();
    const auto tokens =
        std::span(corpus.tokens)
            .subspan(static_cast<size_t>(batch.first), static_cast<size_t>(batch.rows));
    std::vector<float> hidden(tokens.size() * static_cast<size_t>(config.hidden));
    model.forward(context, batch.segments, tokens, hidden.data());
    if (options.process_output) see_output(tap, hidden.data(), batch, config.hidden);
    if (model.mtp() != nullptr) run_mtp(model, context, corpus, hidden, batch);
    tap.require_finite(model.origin());
    progress.add(static_cast<double>(tokens.size()));
  }
  tap.importance().chunk_count =
      static_cast<uint32_t>((corpus.tokens_used() + corpus.chunk_size - 1) / corpus.chunk_size);
  tap.importance().chunk_size = static_cast<uint32_t>(corpus.chunk_size);
  return std::move(tap.importance());
}

}  // namespace karat::calib
