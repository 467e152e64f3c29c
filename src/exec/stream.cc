#include "exec/stream.h"

#include <algorithm>

#include "base/error.h"
#include "base/interrupt.h"
#include "exec/batch_limits.h"
#include "kernels/dispatch.h"
#include "model/activations.h"
#include "model/names.h"

namespace karat::exec {

// The weights of one stage.
struct LayerStream::Layer {
  explicit Layer(model::Layout layout) : bytes(layout) {}
  model::WeightBytes bytes;
  model::BlockWeights block;             // trunk stages
  std::optional<model::MtpWeights> mtp;  // the MTP stage
};

LayerStream::LayerStream(const tensor::TensorSource& source, const model::Config& config,
                         std::span<const int32_t> tokens, std::span<const int64_t> ends,
                         const StreamOptions& options, base::ThreadPool& pool)
    : source_(source),
      config_(config),
      tokens_(tokens),
      ends_(ends),
      options_(options),
      pool_(pool) {
  CHECK(!ends.empty() && ends.back() == static_cast<int64_t>(tokens.size()));
  if (config.mtp_layers == 0) options_.with_mtp = false;
  for (const int32_t token : tokens) {
    if (token >= 0 && token < config.vocab) continue;
    throw base::fail(base::ErrorKind::bad_input, "token id %d is outside the vocabulary of %lld",
                     token, static_cast<long long>(config.vocab));
  }
  rows_ = std::make_unique_for_overwrite<float[]>(tokens.size() * static_cast<size_t>(width()));
  norm_.output_norm = model::bind_output_norm(source, config);
}

LayerStream::~LayerStream() = default;

int64_t LayerStream::stages() const { return config_.layers() + (options_.with_mtp ? 1 : 0); }

int64_t LayerStream::tokens_of(int64_t stage) const {
  const auto all = static_cast<int64_t>(tokens_.size());
  return is_mtp(stage) ? all - static_cast<int64_t>(ends_.size()) : all;
}

void LayerStream::start() {
  const model::ForwardContext context{config_, pool_, kernels::table()};
  for (size_t first = 0; first < tokens_.size();) {
    const size_t count =
        std::min(static_cast<size_t>(options_.batch_tokens), tokens_.size() - first);
    const EmbeddingRows table(source_, config_, tokens_.subspan(first, count), pool_);
    model::embed(context, table.head, table.ids,
                 rows_.get() + first * static_cast<size_t>(width()));
    first += count;
  }
  start_at(0);
}

void LayerStream::start_at(int64_t stage) {
  CHECK(!reading_.valid() && stage >= 0 && stage <= stages());
  next_ = stage;
  read_ahead(stage);
}

// The future keeps what the reading throws for the thread that takes the weights, and waits for the
// reading to end when it goes.
void LayerStream::read_ahead(int64_t stage) {
  if (stage >= stages()) return;
  reading_ = std::async(std::launch::async, [this, stage, into = std::move(spare_)]() mutable {
    return read_layer(source_, stage, std::move(into));
  });
}

std::unique_ptr<LayerStream::Layer> LayerStream::read_layer(const tensor::TensorSource& source,
                                                            int64_t stage,
                                                            std::unique_ptr<Layer> layer) const {
  if (layer == nullptr) {
    layer = std::make_unique<Layer>(model::layout_for(options_.forward.activations));
  }
  layer->bytes.clear();
  if (is_mtp(stage)) {
    layer->mtp = model::bind_mtp(source, config_, layer->bytes);
  } else {
    layer->block = model::bind_block(source, config_, stage, layer->bytes);
  }
  return layer;
}

void LayerStream::take_layer() {
  if (layer_) return;
  CHECK(reading_.valid());
  layer_ = reading_.get();
  read_ahead(next_ + 1);
}

void LayerStream::replace_weights(const tensor::TensorSource& source) {
  take_layer();
  layer_ = read_layer(source, next_, std::move(layer_));
}

void LayerStream::run(model::Tap* tap, const BatchDone& batch_done) {
  take_layer();
  const model::ForwardContext context{config_, pool_, kernels::table(), options_.forward, tap};
  Batches batches(config_, ends_, options_.batch_tokens, next_);
  for (Batch batch = batches.next(); batch.rows > 0; batch = batches.next()) {
    base::stop_if_interrupted();
    run_batch(context, *layer_, batch, rows_.get() + batch.first * width());
    if (batch_done) batch_done(batch);
  }
  spare_ = std::move(layer_);
  ++next_;
}

void LayerStream::observe(model::Tap& tap, const BatchDone& batch_done) {
  take_layer();
  const model::ForwardContext context{config_, pool_, kernels::table(), options_.forward, &tap};
  Batches batches(config_, ends_, options_.batch_tokens, next_);
  std::vector<float> copy;
  for (Batch batch = batches.next(); batch.rows > 0; batch = batches.next()) {
    base::stop_if_interrupted();
    const float* x = rows_.get() + batch.first * width();
    copy.assign(x, x + batch.rows * width());
    run_batch(context, *layer_, batch, copy.data());
    if (batch_done) batch_done(batch);
  }
}

void LayerStream::run_batch(const model::ForwardContext& context, const Layer& layer, Batch& batch,
                            float* x) {
  if (layer.mtp) {
    Batch pairs = batch;
    const MtpRows rows = pair_for_mtp(tokens_, x, width(), pairs);
    const EmbeddingRows table(source_, config_, rows.tokens, pool_);
    std::vector<float> out(rows.hidden.size());
    model::forward_mtp(context, *layer.mtp, table.head, pairs.segments, table.ids,
                       rows.hidden.data(), out.data());
    return;
  }
  model::forward_block(context, layer.block, batch.segments, x);
  for (const model::Segment& segment : batch.segments) segment.state->advance(segment.rows);
  if (next_ + 1 == config_.layers()) model::final_norm(context, norm_, x, batch.rows, x);
}

EmbeddingRows::EmbeddingRows(const tensor::TensorSource& source, const model::Config& config,
                             std::span<const int32_t> tokens, base::ThreadPool& pool) {
  const tensor::TensorInfo& info = source.at(model::kTokenEmbd);
  CHECK(info.shape.rows() == config.vocab && info.shape.cols() == config.hidden);
  std::vector<int32_t> distinct(tokens.begin(), tokens.end());
  std::sort(distinct.begin(), distinct.end());
  distinct.erase(std::unique(distinct.begin(), distinct.end()), distinct.end());
  const auto row_bytes = static_cast<size_t>(info.row_bytes());
  std::byte* rows = bytes_.allocate(distinct.size() * row_bytes);
  pool.for_each(static_cast<int64_t>(distinct.size()), [&](int64_t i, int) {
    const auto row = static_cast<size_t>(i);
    source.read_rows(info, distinct[row], 1, {rows + row * row_bytes, row_bytes});
  });
  head.token_embd = {info.name,     info.dtype, rows, static_cast<int64_t>(distinct.size()),
                     config.hidden, 1};
  for (const int32_t token : tokens) {
    const auto at = std::lower_bound(distinct.begin(), distinct.end(), token);
    ids.push_back(static_cast<int32_t>(at - distinct.begin()));
  }
}

std::optional<int64_t> LayerStream::batch_that_fits(const tensor::TensorSource& source,
                                                    const model::Config& config, int64_t tokens,
                                                    int64_t longest, StreamOptions options,
                                                    uint64_t bytes_beside, uint64_t bytes_allowed) {
  for (int64_t batch = kBatchMax; batch >= kBatchMin; batch /= 2) {
    options.batch_tokens = batch;
    const uint64_t bytes = memory(source, config, tokens, longest, options).total();
    if (bytes + bytes_beside <= bytes_allowed) return batch;
  }
  return std::nullopt;
}

StreamMemory LayerStream::memory(const tensor::TensorSource& source, const model::Config& config,
                                 int64_t tokens, int64_t longest, const StreamOptions& options) {
  const int64_t blocks = options.with_mtp ? config.blocks() : config.layers();
  std::vector<uint64_t> layers(static_cast<size_t>(blocks) + 1);
  for (const tensor::TensorInfo& info : source.tensors()) {
    const int64_t layer = model::layer_of(info.name);
    if (layer >= 0 && layer < blocks) {
      layers[static_cast<size_t>(layer)] += static_cast<uint64_t>(info.bytes());
    }
  }
  StreamMemory memory;
  for (size_t i = 0; i + 1 < layers.size(); ++i) {
    memory.weights = std::max(memory.weights, layers[i] + layers[i + 1]);
  }
  const int64_t batch = std::min(options.batch_tokens, tokens);
  // Floats at the widest moment of each part: what moe.cc, delta_net.cc and attention.cc hold at
  // once; rows of products twice where activations are rounded to a copy.
  const int64_t copies = options.forward.activations != model::Activations::f32 ? 1 : 0;
  const int64_t group =
      std::min(batch * config.experts_used, 2 * model::kExpertGroupEntries + batch);
  const int64_t experts = group * ((2 + copies) * config.hidden + 3 * config.expert_ffn) +
                          batch * ((1 + copies) * config.hidden + 3 * config.shared_ffn);
  const int64_t delta = 2 * config.conv_channels() + 4 * config.value_width();
  const int64_t attention = 5 * config.query_width() + 4 * config.kv_width();
  const int64_t widest =
      std::max(experts, batch * std::max(delta, attention)) + batch * 4 * config.hidden;
  const int64_t recurrent = config.value_heads * config.key_dim * config.value_dim +
                            config.conv_taps * config.conv_channels();
  // All but the longest may be of one token. Keys and values are those of the longest, and of a
  // batch that begins with its end; twice, because they grow.
  const int64_t sequences = std::min({batch, kBlockSequencesMax, tokens - longest + 1});
  const int64_t cached = std::min(tokens, longest + batch);
  const int64_t states =
      std::max(std::max<int64_t>(1, sequences) * recurrent, 2 * 2 * config.kv_width() * cached);
  memory.rows = static_cast<uint64_t>(tokens * config.hidden) * sizeof(float);
  memory.scratch = static_cast<uint64_t>(widest + states) * sizeof(float);
  return memory;
}

}  // namespace karat::exec
