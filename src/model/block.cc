#include "model/block.h"

#include "base/error.h"
#include "model/scratch.h"

namespace karat::model {

// One block: x += mixer(norm(x)), x += moe(norm(x)).
void forward_block(const ForwardContext& context, const BlockWeights& weights,
                   std::span<const Segment> segments, float* x) {
  const int64_t hidden = context.config.hidden;
  const int64_t layer = weights.layer;
  const Batch batch = make_batch(context, layer, segments);
  Rows normed(batch.rows, hidden);
  Rows change(batch.rows, hidden);
  const auto stage = [&](std::string_view name, float* rows) {
    tap_stage(context, name, layer, rows, batch.rows, hidden, hidden);
  };
  const auto add_change = [&] {
    for_pieces(context.pool, batch.rows, hidden, [&](int64_t begin, int64_t end) {
      context.kernels.add(change.row(begin), (end - begin) * hidden, x + begin * hidden);
    });
  };

  norm_rows(context, x, weights.attn_norm, batch.rows, normed.data());
  stage("input_layernorm", normed.data());
  if (weights.mixer == Mixer::delta_net) {
    delta_net(context, weights, batch, normed.data(), change.data());
  } else {
    attention(context, weights, batch, normed.data(), change.data());
  }
  add_change();
  stage("after_mixer", x);

  norm_rows(context, x, weights.post_attention_norm, batch.rows, normed.data());
  stage("post_attention_layernorm", normed.data());
  moe(context, weights, batch, normed.data(), change.data());
  add_change();
  stage("out", x);
}

Batch make_batch(const ForwardContext& context, int64_t layer, std::span<const Segment> segments) {
  const Config& config = context.config;
  Batch batch;
  batch.segments = segments;
  for (const Segment& segment : segments) {
    CHECK(segment.state != nullptr && segment.rows >= 0 && layer < segment.state->blocks());
    const SequenceState& state = *segment.state;
    const int64_t cached = state.block(layer).attention.k.rows();
    const int64_t position = layer < config.layers() ? state.length() : cached;
    batch.first_row.push_back(batch.rows);
    batch.first_position.push_back(position);
    const auto index = static_cast<int32_t>(batch.first_row.size() - 1);
    batch.segment_of.insert(batch.segment_of.end(), static_cast<size_t>(segment.rows), index);
    for (int64_t t = 0; context.tap != nullptr && t < segment.rows; ++t) {
      batch.origins.push_back({segment.sequence, position + t});
    }
    batch.rows += segment.rows;
  }
  return batch;
}

void norm_rows(const ForwardContext& context, const float* x, const Vector& w, int64_t rows,
               float* y) {
  const auto cols = static_cast<int64_t>(w.size());
  for_pieces(context.pool, rows, 2 * cols, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      context.kernels.rms_norm(x + r * cols, w.data(), context.config.rms_eps, cols, y + r * cols);
    }
  });
}

void tap_input(const ForwardContext& context, const Batch& batch, const Linear& w, int64_t layer,
               const float* x) {
  if (context.tap == nullptr) return;
  LinearInput input{w.name, layer, x, batch.rows, w.cols, w.cols, batch.origins};
  context.tap->linear_input(input);
}

void tap_stage(const ForwardContext& context, std::string_view name, int64_t layer, float* values,
               int64_t rows, int64_t cols, int64_t ld) {
  if (context.tap == nullptr || !context.tap->wants_stage(name)) return;
  context.tap->stage({name, layer, values, rows, cols, ld});
}

}  // namespace karat::model
