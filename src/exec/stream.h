// A model far larger than memory: its blocks pass through one after the other, each over all
// sequences, while the next one is being read. The blocks are those of every other pass, and so are
// the bits (docs/NUMERICS.md).
#pragma once

#include <cstdint>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/threads.h"
#include "exec/batches.h"
#include "model/forward.h"
#include "tensor/source.h"

namespace karat::exec {

struct StreamOptions {
  int64_t batch_tokens = 4096;  // rows per call of a block: whole sequences, longer ones in pieces
  bool with_mtp = false;        // run the MTP block, if the model has one
  model::ForwardOptions forward = {};
};

// What a stream holds at its peak, in bytes. An estimate of what it allocates, from shapes alone.
struct StreamMemory {
  uint64_t rows = 0;     // the residual stream: tokens * H * 4
  uint64_t weights = 0;  // the two largest consecutive blocks
  uint64_t scratch = 0;  // one batch in one block, its states included
  uint64_t total() const { return rows + weights + scratch; }
};

// One pass of a model over sequences, in stages: stage i is trunk block i, the last trunk stage
// also applies the final norm; then the MTP block, if wanted.
class LayerStream {
 public:
  // `tokens`: those of all sequences; `ends`: where each sequence ends in them, rising, each at
  // least one token long. Everything but `options` must outlive the stream. Error{bad_input} for a
  // token outside the vocabulary.
  LayerStream(const tensor::TensorSource& source, const model::Config& config,
              std::span<const int32_t> tokens, std::span<const int64_t> ends,
              const StreamOptions& options, base::ThreadPool& pool);
  ~LayerStream();

  int64_t stages() const;
  int64_t next() const { return next_; }
  bool done() const { return next_ == stages(); }
  // Tokens that go through stage `stage`.
  int64_t tokens_of(int64_t stage) const;

  // [tokens, H]: what enters the next stage. After the last trunk stage the rows after the final
  // norm, ready for logits(); the MTP stage leaves them as they are.
  std::span<float> rows() { return {rows_.get(), tokens_.size() * static_cast<size_t>(width())}; }
  std::span<const float> rows() const {
    return {rows_.get(), tokens_.size() * static_cast<size_t>(width())};
  }

  // Begins with the tokens' embeddings, or with rows() that the caller then fills with what entered
  // stage `stage` in an earlier run.
  void start();
  void start_at(int64_t stage);

  // Runs the next stage. `tap` may be null. `batch_done` is called after each batch, from this
  // thread: its rows() are those after the stage. Throws Error{interrupted} between batches; a
  // stream that threw cannot go on. Errors of reading as the bind_* functions.
  using BatchDone = std::function<void(const Batch& batch)>;
  void run(model::Tap* tap, const BatchDone& batch_done);

  // Runs the next stage for `tap` alone: the rows stay as they are, and the stage is still the
  // next.
  void observe(model::Tap& tap, const BatchDone& batch_done);
  // Takes the weights of the next stage from `source`, which has them in the same shapes.
  void replace_weights(const tensor::TensorSource& source);

  // For sequences of at most `longest` tokens.
  static StreamMemory memory(const tensor::TensorSource& source, const model::Config& config,
                             int64_t tokens, int64_t longest, const StreamOptions& options);

  // The largest options.batch_tokens, a power of two from 256 to 4096, with which memory() and
  // `bytes_beside` are at most `bytes_allowed`.
  static std::optional<int64_t> batch_that_fits(const tensor::TensorSource& source,
                                                const model::Config& config, int64_t tokens,
                                                int64_t longest, StreamOptions options,
                                                uint64_t bytes_beside, uint64_t bytes_allowed);
  static constexpr int64_t kBatchMin = 256, kBatchMax = 4096;

 private:
  struct Layer;
  int64_t width() const { return config_.hidden; }
  bool is_mtp(int64_t stage) const { return stage >= config_.layers(); }
  void read_ahead(int64_t stage);
  std::unique_ptr<Layer> read_layer(const tensor::TensorSource& source, int64_t stage,
                                    std::unique_ptr<Layer> into) const;
  void take_layer();
  void run_batch(const model::ForwardContext& context, const Layer& layer, Batch& batch, float* x);

  const tensor::TensorSource& source_;
  const model::Config& config_;
  std::span<const int32_t> tokens_;
  std::span<const int64_t> ends_;
  StreamOptions options_;
  base::ThreadPool& pool_;
  int64_t next_ = 0;
  std::unique_ptr<float[]> rows_;
  model::HeadWeights norm_;                      // only output_norm
  std::unique_ptr<Layer> layer_;                 // of stage next_, once something was run with it
  std::future<std::unique_ptr<Layer>> reading_;  // of the stage after what layer_ has, or next_
  std::unique_ptr<Layer> spare_;                 // that of a stage that has run, for its memory
};

// The rows of the embedding table that `tokens` need, and what the tokens are called there, in
// order: embed(context, head, ids) is embed(context, all, tokens) without the table.
struct EmbeddingRows {
  EmbeddingRows(const tensor::TensorSource& source, const model::Config& config,
                std::span<const int32_t> tokens, base::ThreadPool& pool);
  model::HeadWeights head;  // only token_embd
  std::vector<int32_t> ids;

 private:
  model::WeightBytes bytes_;
};

}  // namespace karat::exec
