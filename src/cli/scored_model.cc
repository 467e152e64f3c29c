#include "cli/scored_model.h"

#include "base/error.h"
#include "base/text.h"
#include "cli/load.h"
#include "exec/memory_plan.h"

namespace karat::cli {

uint64_t ScoredModel::resident_bytes(const eval::Chunks& chunks,
                                     const eval::ScoreOptions& options) const {
  return exec::weight_shares(*opened_.source, opened_.config).total(false) +
         eval::ResidentScorer::bytes_needed(*opened_.source, opened_.config, chunks, options);
}

void ScoredModel::require_head() const { model::require_output(*opened_.source, opened_.config); }

void ScoredModel::load(const eval::Chunks& chunks, const eval::ScoreOptions& options,
                       const Common& common, base::ThreadPool& pool, uint64_t beside) {
  held_bytes_ = resident_bytes(chunks, options);
  passes_.clear();
  require_memory(common, held_bytes_ + beside, base::printable(opened_.path) + ": its weights");
  resident_ = load_resident(opened_, false, common, options.forward.activations);
  passes_.push_back(
      {nullptr, std::make_unique<eval::ResidentScorer>(*resident_, chunks, options, pool)});
}

eval::Scorer& ScoredModel::again(const eval::Chunks& chunks, const eval::ScoreOptions& options,
                                 const Common& common, base::ThreadPool& pool, uint64_t beside) {
  if (resident_ == nullptr) {
    add_streamed(chunks, options, common, pool, beside + held_bytes_);
  } else {
    const uint64_t bytes =
        eval::ResidentScorer::bytes_needed(*opened_.source, opened_.config, chunks, options);
    require_memory(common, held_bytes_ + bytes + beside,
                   base::printable(opened_.path) + ": another pass");
    held_bytes_ += bytes;
    passes_.push_back(
        {nullptr, std::make_unique<eval::ResidentScorer>(*resident_, chunks, options, pool)});
  }
  return *passes_.back().scorer;
}

namespace {

// What a stream over the chunks takes, and how many of them would fit.
std::string stream_refusal(const model::OpenedModel& opened, const eval::Chunks& chunks,
                           exec::StreamOptions stream, uint64_t beside, const Common& common) {
  stream.batch_tokens = exec::LayerStream::kBatchMin;
  const exec::StreamMemory memory = exec::LayerStream::memory(
      *opened.source, opened.config, chunks.count * chunks.n_ctx, chunks.n_ctx, stream);
  const uint64_t hidden = eval::hidden_rows_bytes(opened.config, chunks);
  const uint64_t fixed = memory.weights + memory.scratch + beside;
  const uint64_t per_chunk = (memory.rows + hidden) / static_cast<uint64_t>(chunks.count);
  const uint64_t allowed = memory_allowed(common);
  const uint64_t fit = allowed > fixed ? (allowed - fixed) / per_chunk : 0;
  const std::string advice =
      fit > 0 ? base::strf("--chunks %llu would fit", static_cast<unsigned long long>(fit))
              : "no number of chunks would fit; " + base::both_units(fixed) + " are for the rest";
  return base::strf("%s: %s of memory are needed, %s %s; %s", base::printable(opened.path).c_str(),
                    base::both_units(memory.total() + hidden + beside).c_str(),
                    memory_limit(common).c_str(), base::both_units(allowed).c_str(),
                    advice.c_str());
}

}  // namespace

void ScoredModel::stream(const eval::Chunks& chunks, const eval::ScoreOptions& options,
                         const Common& common, base::ThreadPool& pool, uint64_t beside) {
  resident_.reset();
  passes_.clear();
  held_bytes_ = 0;
  add_streamed(chunks, options, common, pool, beside);
}

void ScoredModel::add_streamed(const eval::Chunks& chunks, const eval::ScoreOptions& options,
                               const Common& common, base::ThreadPool& pool, uint64_t beside) {
  exec::StreamOptions stream{.forward = options.forward};
  const uint64_t hidden = eval::hidden_rows_bytes(opened_.config, chunks);
  const auto batch = exec::LayerStream::batch_that_fits(
      *opened_.source, opened_.config, chunks.count * chunks.n_ctx, chunks.n_ctx, stream,
      hidden + beside, memory_allowed(common));
  if (!batch) {
    throw base::fail(base::ErrorKind::memory, "%s",
                     stream_refusal(opened_, chunks, stream, beside, common).c_str());
  }
  const uint64_t head = eval::HiddenScorer::bytes_needed(*opened_.source, opened_.config, chunks);
  require_memory(common, hidden + head + beside,
                 base::printable(opened_.path) + ": its hidden rows and output matrix");
  require_head();
  stream.batch_tokens = *batch;
  add_hidden(
      eval::stream_hidden_rows(*opened_.source, opened_.config, chunks, stream, options.tap, pool),
      options, pool);
}

void ScoredModel::take(eval::HiddenRows rows, const eval::ScoreOptions& options,
                       base::ThreadPool& pool) {
  resident_.reset();
  passes_.clear();
  held_bytes_ = 0;
  add_hidden(std::move(rows), options, pool);
}

void ScoredModel::add_hidden(eval::HiddenRows rows, const eval::ScoreOptions& options,
                             base::ThreadPool& pool) {
  auto hidden = std::make_unique<eval::HiddenRows>(std::move(rows));
  held_bytes_ +=
      eval::hidden_rows_bytes(opened_.config, hidden->chunks()) +
      eval::HiddenScorer::bytes_needed(*opened_.source, opened_.config, hidden->chunks());
  auto scorer = std::make_unique<eval::HiddenScorer>(*opened_.source, opened_.config, *hidden,
                                                     options.forward, pool);
  passes_.push_back({std::move(hidden), std::move(scorer)});
}

ScoredText::ScoredText(const std::string& file, const model::OpenedModel& opened, int64_t n_ctx,
                       int64_t chunks_max)
    : n_ctx_(n_ctx) {
  require_files(file.empty() ? std::vector<std::string>{} : std::vector{file});
  corpus_ = calib::read_corpus({file}, make_tokenizer(opened),
                               {.chunk_size = n_ctx, .chunks_max = chunks_max});
}

eval::Chunks ScoredText::chunks() const {
  const auto used = static_cast<size_t>(corpus_.chunks * n_ctx_);
  return {std::span<const int32_t>(corpus_.tokens).first(used), n_ctx_, corpus_.chunks};
}

}  // namespace karat::cli
