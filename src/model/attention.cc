// Softmax attention over the cache with grouped keys and values, partial rotary embedding and a
// sigmoid gate on the output.

#include <algorithm>
#include <cmath>
#include <vector>

#include "model/activations.h"
#include "model/block.h"
#include "model/linear.h"
#include "model/rope.h"
#include "model/scratch.h"

namespace karat::model {
namespace {

struct Projected {
  Rows q;  // [rows, heads, 2, head_dim]: query, then gate
  Rows k;  // [rows, kv_heads, head_dim]
  Rows v;  // [rows, kv_heads, head_dim]
};

Projected project(const ForwardContext& context, const BlockWeights& weights, const Batch& batch,
                  const float* x) {
  const Config& c = context.config;
  const AttentionWeights& w = weights.attention;
  Projected p{Rows(batch.rows, 2 * c.query_width()), Rows(batch.rows, c.kv_width()),
              Rows(batch.rows, c.kv_width())};
  std::vector<LinearJob> jobs;
  const auto add = [&](const Linear& linear, Rows& y) {
    tap_input(context, batch, linear, weights.layer, x);
    jobs.push_back({&linear, 0, x, c.hidden, batch.rows, y.data(), y.cols()});
  };
  add(w.q, p.q);
  add(w.k, p.k);
  add(w.v, p.v);
  apply_linears(context, jobs);
  return p;
}

// RMS norm of each head of every row: heads lie `pitch` floats apart.
void norm_heads(const ForwardContext& context, const Vector& w, int64_t rows, int64_t pitch,
                Rows& x) {
  const int64_t dim = context.config.head_dim;
  for_pieces(context.pool, rows, 3 * x.cols(), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      for (float* head = x.row(r); head < x.row(r) + x.cols(); head += pitch) {
        context.kernels.rms_norm(head, w.data(), context.config.rms_eps, dim, head);
      }
    }
  });
}

// Rotates queries and keys by their positions, then rounds what enters the scores.
void rotate(const ForwardContext& context, const Batch& batch, Projected& p) {
  const Config& c = context.config;
  const RopeTable table = make_rope_table(c.rope);
  const auto half = static_cast<int64_t>(table.frequency.size());
  const Rounding rounding = rounding_for_cache(context.options.activations);
  const auto round = [&](float* x, int64_t n) {
    if (rounding != Rounding::none) round_row(rounding, context.kernels, x, n, x);
  };
  for_pieces(context.pool, batch.rows, 4 * c.query_width(), [&](int64_t begin, int64_t end) {
    std::vector<float> angles(static_cast<size_t>(2 * half));
    float* cos = angles.data();
    float* sin = cos + half;
    for (int64_t r = begin; r < end; ++r) {
      const auto s = static_cast<size_t>(batch.segment_of[static_cast<size_t>(r)]);
      const int64_t position = batch.first_position[s] + r - batch.first_row[s];
      rope_angles(table, {position, position, position}, cos, sin);
      for (int64_t h = 0; h < c.heads; ++h) {
        float* q = p.q.row(r) + 2 * h * c.head_dim;
        context.kernels.rope(q, cos, sin, half);
        round(q, c.head_dim);
      }
      for (int64_t h = 0; h < c.kv_heads; ++h) {
        context.kernels.rope(p.k.row(r) + h * c.head_dim, cos, sin, half);
      }
      round(p.k.row(r), c.kv_width());
      round(p.v.row(r), c.kv_width());
    }
  });
}

// Appends each segment's keys and values to its cache.
void extend_cache(const Batch& batch, int64_t layer, const Projected& p) {
  for (size_t s = 0; s < batch.segments.size(); ++s) {
    const Segment& segment = batch.segments[s];
    AttentionState& cache = segment.state->block(layer).attention;
    const int64_t row = batch.first_row[s];
    cache.k.insert(cache.k.end(), p.k.row(row), p.k.row(row + segment.rows));
    cache.v.insert(cache.v.end(), p.v.row(row), p.v.row(row + segment.rows));
  }
}

// Every query head of every row against the cache up to and including that row.
Rows attend(const ForwardContext& context, const Batch& batch, int64_t layer, const Rows& q) {
  const Config& c = context.config;
  const int64_t group = c.heads / c.kv_heads;
  const auto scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(c.head_dim)));
  int64_t length_max = 0;
  for (size_t s = 0; s < batch.segments.size(); ++s) {
    length_max = std::max(length_max, batch.first_position[s] + batch.segments[s].rows);
  }
  Rows out(batch.rows, c.query_width());
  const int64_t cost = length_max * c.head_dim / 4;
  for_pieces(context.pool, batch.rows * c.heads, cost, [&](int64_t begin, int64_t end) {
    Rows scores(1, length_max);
    for (int64_t task = begin; task < end; ++task) {
      const int64_t r = task / c.heads;
      const int64_t head = task % c.heads;
      const auto s = static_cast<size_t>(batch.segment_of[static_cast<size_t>(r)]);
      const AttentionState& cache = batch.segments[s].state->block(layer).attention;
      kernels::AttendArgs args{};
      args.q = q.row(r) + 2 * head * c.head_dim;
      args.k = cache.k.data() + head / group * c.head_dim;
      args.v = cache.v.data() + head / group * c.head_dim;
      args.o = out.row(r) + head * c.head_dim;
      args.scores = scores.data();
      args.ldk = args.ldv = c.kv_width();
      args.length = batch.first_position[s] + r - batch.first_row[s] + 1;
      args.dim = c.head_dim;
      args.scale = scale;
      context.kernels.attend(args);
    }
  });
  return out;
}

// o *= sigmoid(gate), head by head.
void apply_gate(const ForwardContext& context, int64_t rows, const Rows& q, Rows& o) {
  const Config& c = context.config;
  for_pieces(context.pool, rows, 8 * c.query_width(), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      for (int64_t h = 0; h < c.heads; ++h) {
        float* head = o.row(r) + h * c.head_dim;
        const float* gate = q.row(r) + (2 * h + 1) * c.head_dim;
        context.kernels.sigmoid_mul(gate, head, c.head_dim, head);
      }
    }
  });
}

}  // namespace

void attention(const ForwardContext& context, const BlockWeights& weights, const Batch& batch,
               const float* x, float* y) {
  const Config& c = context.config;
  const AttentionWeights& w = weights.attention;
  const int64_t layer = weights.layer;
  const int64_t dim = c.head_dim;
  const auto stage_heads = [&](std::string_view name, float* values, int64_t heads, int64_t pitch) {
    tap_stage(context, name, layer, values, batch.rows * heads, dim, pitch);
  };

  Projected p = project(context, weights, batch, x);
  stage_heads("attn.q_raw", p.q.data(), c.heads, 2 * dim);
  stage_heads("attn.gate_raw", p.q.data() + dim, c.heads, 2 * dim);
  stage_heads("attn.k_raw", p.k.data(), c.kv_heads, dim);
  stage_heads("attn.v", p.v.data(), c.kv_heads, dim);
  norm_heads(context, w.q_norm, batch.rows, 2 * dim, p.q);
  norm_heads(context, w.k_norm, batch.rows, dim, p.k);
  stage_heads("attn.q_norm", p.q.data(), c.heads, 2 * dim);
  stage_heads("attn.k_norm", p.k.data(), c.kv_heads, dim);
  rotate(context, batch, p);
  stage_heads("attn.q_rope", p.q.data(), c.heads, 2 * dim);
  stage_heads("attn.k_rope", p.k.data(), c.kv_heads, dim);
  extend_cache(batch, layer, p);
  Rows o = attend(context, batch, layer, p.q);
  stage_heads("attn.attn_out_ungated", o.data(), c.heads, dim);
  apply_gate(context, batch.rows, p.q, o);
  tap_stage(context, "attn.gated", layer, o.data(), batch.rows, o.cols(), o.cols());
  tap_input(context, batch, w.output, layer, o.data());
  apply_linear(context, w.output, 0, o.data(), o.cols(), batch.rows, y, c.hidden);
  tap_stage(context, "attn.o_proj", layer, y, batch.rows, c.hidden, c.hidden);
}

}  // namespace karat::model
