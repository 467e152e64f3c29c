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

// Columns whose sums one thread makes at a time.
constexpr int64_t kColumns = 256;
// Fewer rows than this (an expert that few tokens reach) are not worth waking threads for.
constexpr int64_t kRowsToSpread = 64;

}  // namespace

void ImportanceTap::linear_input(const model::LinearInput& input) {
  if (input.layer < 0 && !with_output_) return;
  ImportanceEntry& entry = entry_for(importance_, input, experts_);
  const int64_t mat = std::max<int64_t>(input.expert, 0);
  double* sum2 = entry.in_sum2.data() + mat * entry.cols;
  double* sum = entry.in_sum.data() + mat * entry.cols;
  const auto add_block = [&](int64_t block, int) {
    const int64_t first = block * kColumns;
    kernels::table().moments({input.rows + first, input.ld, input.count,
                              std::min(kColumns, entry.cols - first), sum2 + first, sum + first});
  };
  const int64_t blocks = (entry.cols + kColumns - 1) / kColumns;
  if (input.count >= kRowsToSpread) {
    pool_.for_each(blocks, add_block);
  } else {
    for (int64_t block = 0; block < blocks; ++block) add_block(block, 0);
  }
  entry.counts[static_cast<size_t>(mat)] += input.count;
}

void ImportanceTap::see_output(const float* hidden, const exec::Batch& batch, int64_t cols) {
  model::LinearInput input{};
  input.weight = model::kOutput;
  input.layer = -1;
  input.rows = hidden;
  input.count = batch.rows;
  input.cols = input.ld = cols;
  input.origins = batch.origins;
  linear_input(input);
}

void ImportanceTap::keep(StatisticsWriter& out) const {
  out.number(static_cast<int64_t>(importance_.entries.size()));
  for (const auto& [name, entry] : importance_.entries) {
    out.text(name);
    out.number(entry.cols);
    out.number(entry.mats);
    out.values(std::span(entry.in_sum2));
    out.values(std::span(entry.in_sum));
    out.values(std::span(entry.counts));
  }
}

void ImportanceTap::take_up(StatisticsReader& in) {
  importance_.entries.clear();
  for (int64_t left = in.number(); left > 0; --left) {
    ImportanceEntry& entry = importance_.entries[in.text()];
    entry.cols = in.number();
    entry.mats = in.number();
    entry.in_sum2 = in.values<double>();
    entry.in_sum = in.values<double>();
    entry.counts = in.values<int64_t>();
  }
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

void set_chunks(tensor::Importance& importance, const Corpus& corpus) {
  importance.chunk_count =
      static_cast<uint32_t>((corpus.tokens_used() + corpus.chunk_size - 1) / corpus.chunk_size);
  importance.chunk_size = static_cast<uint32_t>(corpus.chunk_size);
}

tensor::Importance calibrate(const exec::ResidentModel& model, const Corpus& corpus,
                             const CalibrateOptions& options, base::ThreadPool& pool) {
  const model::Config& config = model.config();
  ImportanceTap tap(config.experts, options.process_output, pool);
  std::vector<model::Tap*> all = {&tap};
  all.insert(all.end(), options.also.begin(), options.also.end());
  model::TapGroup taps(std::move(all));
  const model::ForwardContext context{config, pool, kernels::table(), options.forward, &taps};
  const std::vector<int64_t> ends = corpus.all_ends();
  exec::Batches batches(config, ends, options.batch_tokens);
  base::Progress progress("calibrate", "tokens", static_cast<double>(corpus.tokens_used()));
  for (exec::Batch batch = batches.next(); batch.rows > 0; batch = batches.next()) {
    base::stop_if_interrupted();
    const auto tokens =
        std::span(corpus.tokens)
            .subspan(static_cast<size_t>(batch.first), static_cast<size_t>(batch.rows));
    std::vector<float> hidden(tokens.size() * static_cast<size_t>(config.hidden));
    model.forward(context, batch.segments, tokens, hidden.data());
    tap.see_output(hidden.data(), batch, config.hidden);
    if (model.mtp() != nullptr) {
      const exec::MtpRows pairs =
          exec::pair_for_mtp(corpus.tokens, hidden.data(), config.hidden, batch);
      model::forward_mtp(context, *model.mtp(), model.head(), batch.segments, pairs.tokens,
                         pairs.hidden.data(), hidden.data());
    }
    tap.require_finite(model.origin());
    progress.add(static_cast<double>(tokens.size()));
  }
  set_chunks(tap.importance(), corpus);
  return std::move(tap.importance());
}

}  // namespace karat::calib
