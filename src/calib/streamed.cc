#include "calib/streamed.h"

#include <algorithm>
#include <optional>

#include "base/error.h"
#include "base/log.h"
#include "base/text.h"
#include "model/names.h"

namespace karat::calib {

namespace {

// Two sums for each column of every matrix of the blocks that are run.
uint64_t statistics_bytes(const tensor::TensorSource& source, int64_t blocks) {
  uint64_t columns = 0;
  for (const tensor::TensorInfo& info : source.tensors()) {
    const int64_t layer = model::layer_of(info.name);
    if (layer < 0 || layer >= blocks || info.shape.rank() < 2) continue;
    columns += static_cast<uint64_t>(info.shape.cols() * info.shape.experts());
  }
  return columns * 2 * sizeof(double);
}

exec::StreamMemory stream_memory(const tensor::TensorSource& source, const model::Config& config,
                                 const Corpus& corpus, const StreamedOptions& options) {
  return exec::LayerStream::memory(source, config, corpus.tokens_used(), corpus.longest(),
                                   options.stream);
}

}  // namespace

uint64_t streamed_bytes(const tensor::TensorSource& source, const model::Config& config,
                        const Corpus& corpus, const StreamedOptions& options) {
  const int64_t blocks = options.stream.with_mtp ? config.blocks() : config.layers();
  const uint64_t hessians =
      options.hessians ? HessianTap::bytes_needed(config, corpus.tokens_used()) : 0;
  return stream_memory(source, config, corpus, options).total() + statistics_bytes(source, blocks) +
         hessians;
}

uint64_t checkpoint_bytes(const tensor::TensorSource& source, const model::Config& config,
                          const Corpus& corpus, const StreamedOptions& options) {
  const int64_t blocks = options.stream.with_mtp ? config.blocks() : config.layers();
  return stream_memory(source, config, corpus, options).rows + statistics_bytes(source, blocks);
}

int64_t batch_that_fits(const tensor::TensorSource& source, const model::Config& config,
                        const Corpus& corpus, StreamedOptions options, uint64_t bytes_allowed,
                        const std::string& limit) {
  const int64_t blocks = options.stream.with_mtp ? config.blocks() : config.layers();
  const uint64_t hessians =
      options.hessians ? HessianTap::bytes_needed(config, corpus.tokens_used()) : 0;
  const auto batch = exec::LayerStream::batch_that_fits(
      source, config, corpus.tokens_used(), corpus.longest(), options.stream,
      statistics_bytes(source, blocks) + hessians, bytes_allowed);
  if (batch) return *batch;
  options.stream.batch_tokens = exec::LayerStream::kBatchMin;
  const uint64_t needed = streamed_bytes(source, config, corpus, options);
  const uint64_t rows = stream_memory(source, config, corpus, options).rows;
  const uint64_t rest = needed - rows;
  const uint64_t row_bytes = static_cast<uint64_t>(config.hidden) * sizeof(float);
  const uint64_t fit = bytes_allowed > rest ? (bytes_allowed - rest) / row_bytes : 0;
  const std::string advice =
      fit >= static_cast<uint64_t>(2 * corpus.chunk_size)
          ? base::strf("--tokens %llu would fit", static_cast<unsigned long long>(fit))
          : "no number of tokens would fit; two blocks and a batch take " + base::both_units(rest);
  throw base::fail(base::ErrorKind::memory, "calibrate: %s are needed for %lld tokens, %s %s; %s",
                   base::both_units(needed).c_str(), static_cast<long long>(corpus.tokens_used()),
                   limit.c_str(), base::both_units(bytes_allowed).c_str(), advice.c_str());
}

namespace {

// Token-layers of stages [first, last).
double work_of(const exec::LayerStream& stream, int64_t first, int64_t last) {
  double work = 0;
  for (; first < last; ++first) work += static_cast<double>(stream.tokens_of(first));
  return work;
}

// From the checkpoint, or from the beginning.
void begin(exec::LayerStream& stream, ImportanceTap& tap, const StreamedOptions& options) {
  std::vector<KeptTap*> taps = options.also;
  taps.push_back(&tap);
  std::optional<int64_t> stage;
  if (options.checkpoint != nullptr) {
    stage = options.checkpoint->take_up(taps, stream.rows(), options.force);
  }
  if (!stage) return stream.start();
  base::info("going on where the last run stopped, after block %lld of %lld",
             static_cast<long long>(*stage), static_cast<long long>(stream.stages()));
  stream.start_at(*stage);
}

void save(const exec::LayerStream& stream, const ImportanceTap& tap,
          const StreamedOptions& options) {
  std::vector<const KeptTap*> taps(options.also.begin(), options.also.end());
  taps.push_back(&tap);
  if (options.checkpoint != nullptr) options.checkpoint->save(stream.next(), taps, stream.rows());
}

}  // namespace

tensor::Importance calibrate_streamed(const tensor::TensorSource& source,
                                      const model::Config& config, const Corpus& corpus,
                                      const StreamedOptions& options, base::ThreadPool& pool) {
  const std::vector<int64_t> ends = corpus.all_ends();
  const auto tokens = std::span(corpus.tokens).first(static_cast<size_t>(corpus.tokens_used()));
  exec::LayerStream stream(source, config, tokens, ends, options.stream, pool);
  ImportanceTap tap(config.experts, options.process_output, pool);
  std::optional<HessianTap> hessians;
  std::vector<model::Tap*> all(options.also.begin(), options.also.end());
  all.push_back(&tap);
  if (options.hessians) all.push_back(&hessians.emplace(config, ends, pool));
  model::TapGroup taps(std::move(all));
  begin(stream, tap, options);
  base::Progress progress("calibrate", "token-layers", work_of(stream, 0, stream.stages()));
  progress.skip(work_of(stream, 0, stream.next()));
  while (!stream.done()) {
    const int64_t stage = stream.next();
    const double share =
        static_cast<double>(stream.tokens_of(stage)) / static_cast<double>(tokens.size());
    stream.run(&taps, [&](const exec::Batch& batch) {
      if (stage + 1 == config.layers()) {
        tap.see_output(stream.rows().data() + batch.first * config.hidden, batch, config.hidden);
      }
      progress.add(share * static_cast<double>(batch.rows), "block " + std::to_string(stage));
    });
    tap.require_finite(source.origin());
    if (hessians) hessians->consume(options.hessians);
    save(stream, tap, options);
  }
  set_chunks(tap.importance(), corpus);
  return std::move(tap.importance());
}

}  // namespace karat::calib
