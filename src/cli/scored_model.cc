#include "cli/scored_model.h"

#include "base/error.h"
#include "base/text.h"
#include "cli/load.h"

namespace karat::cli {

uint64_t ScoredModel::weights_bytes() const {
  return exec::ResidentModel::bytes_needed(*opened_.source, opened_.config, false);
}

void ScoredModel::load(const eval::Chunks& chunks, const eval::ScoreOptions& options,
                       const Common& common, base::ThreadPool& pool) {
  resident_ = load_resident(opened_, false, common, options.forward.activations);
  scorer_ = std::make_unique<eval::ResidentScorer>(*resident_, chunks, options, pool);
}

void ScoredModel::stream(const eval::Chunks& chunks, const eval::ScoreOptions& options,
                         const Common& common, base::ThreadPool& pool) {
  exec::StreamOptions stream{.forward = options.forward};
  const int64_t tokens = chunks.count * chunks.n_ctx;
  const uint64_t beside = eval::hidden_rows_bytes(opened_.config, chunks);
  const auto batch =
      exec::LayerStream::batch_that_fits(*opened_.source, opened_.config, tokens, chunks.n_ctx,
                                         stream, beside, memory_allowed(common));
  if (!batch) {
    stream.batch_tokens = exec::LayerStream::kBatchMin;
    const exec::StreamMemory memory =
        exec::LayerStream::memory(*opened_.source, opened_.config, tokens, chunks.n_ctx, stream);
    const uint64_t fixed = memory.weights + memory.scratch;
    const uint64_t per_chunk = (memory.rows + beside) / static_cast<uint64_t>(chunks.count);
    const uint64_t allowed = memory_allowed(common);
    const uint64_t fit = allowed > fixed ? (allowed - fixed) / per_chunk : 0;
    throw base::fail(
        base::ErrorKind::memory, "%s: %s of memory are needed, %s %s; --chunks %llu would fit",
        base::printable(opened_.path).c_str(), base::both_units(memory.total() + beside).c_str(),
        memory_limit(common).c_str(), base::both_units(allowed).c_str(),
        static_cast<unsigned long long>(fit));
  }
  stream.batch_tokens = *batch;
  take(eval::stream_hidden_rows(*opened_.source, opened_.config, chunks, stream, pool), options,
       pool);
}

void ScoredModel::take(eval::HiddenRows rows, const eval::ScoreOptions& options,
                       base::ThreadPool& pool) {
  hidden_ = std::move(rows);
  scorer_ = std::make_unique<eval::HiddenScorer>(*opened_.source, opened_.config, hidden_,
                                                 options.forward, pool);
}

}  // namespace karat::cli
