// Softmax attention over the cache with grouped keys and values, partial rotary embedding and a
// sigmoid gate on the output.

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/error.h"
#include "model/activations.h"
#include "model/attend.h"
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
void extend_cache(const ForwardContext& context, const Batch& batch, int64_t layer,
                  const Projected& p) {
  for (size_t s = 0; s < batch.segments.size(); ++s) {
    const Segment& segment = batch.segments[s];
    AttentionState& cache = segment.state->block(layer).attention;
    const int64_t kept = cache.k.rows();
    CHECK(kept == batch.first_position[s]);
    cache.k.resize(kept + segment.rows);
    cache.v.resize(kept + segment.rows);
    const int64_t row = batch.first_row[s];
    for_pieces(context.pool, segment.rows, 8 * p.k.cols(), [&](int64_t begin, int64_t end) {
      for (int64_t t = begin; t < end; ++t) {
        cache.k.set(kept + t, p.k.row(row + t));
        cache.v.set(kept + t, p.v.row(row + t));
      }
    });
  }
}

// Consecutive positions of a segment and some query heads of one K/V head.
struct AttendTask {
  size_t segment;
  int64_t first, positions;  // of the segment's rows
  int64_t head, heads;       // query heads
};

constexpr int64_t kQueries = 64;  // together: enough to pay for decoding and for the products
constexpr int64_t kScoresMax = 1 << 19;  // floats of scores: 2 MiB, a share of the last cache

// The longest first, so that threads end together.
std::vector<AttendTask> attend_tasks(const Config& c, const Batch& batch, int threads) {
  const int64_t group = c.heads / c.kv_heads;
  int64_t heads = group;
  const auto few = static_cast<int64_t>(batch.rows * c.kv_heads);
  while (heads % 2 == 0 && few * (group / heads) < threads) heads /= 2;
  std::vector<AttendTask> tasks;
  for (size_t s = 0; s < batch.segments.size(); ++s) {
    int64_t end = batch.segments[s].rows;
    while (end > 0) {
      const int64_t length = batch.first_position[s] + end;
      const int64_t most = std::min(kQueries, kScoresMax / length) / heads;
      const int64_t positions = std::clamp<int64_t>(most, 1, end);
      end -= positions;
      for (int64_t head = 0; head < c.heads; head += heads) {
        tasks.push_back({s, end, positions, head, heads});
      }
    }
  }
  return tasks;
}

// The task's queries side by side, and their outputs back in their places.
void run_task(const ForwardContext& context, const Batch& batch, int64_t layer,
              const AttendTask& task, const Rows& q, Rows& out) {
  const Config& c = context.config;
  const int64_t dim = c.head_dim;
  const AttentionState& cache = batch.segments[task.segment].state->block(layer).attention;
  Rows queries(task.positions, task.heads * dim);
  Rows outputs(task.positions, task.heads * dim);
  const int64_t first_row = batch.first_row[task.segment] + task.first;
  for (int64_t p = 0; p < task.positions; ++p) {
    for (int64_t h = 0; h < task.heads; ++h) {
      const float* query = q.row(first_row + p) + 2 * (task.head + h) * dim;
      std::copy_n(query, dim, queries.row(p) + h * dim);
    }
  }
  attend(context.kernels, {.k = cache.k,
                           .v = cache.v,
                           .col = task.head / (c.heads / c.kv_heads) * dim,
                           .dim = dim,
                           .positions = task.positions,
                           .length = batch.first_position[task.segment] + task.first + 1,
                           .heads = task.heads,
                           .scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(dim))),
                           .q = queries.data(),
                           .o = outputs.data()});
  for (int64_t p = 0; p < task.positions; ++p) {
    std::copy_n(outputs.row(p), outputs.cols(), out.row(first_row + p) + task.head * dim);
  }
}

// Every query head of every row against the cache up to and including that row.
Rows attend_rows(const ForwardContext& context, const Batch& batch, int64_t layer, const Rows& q) {
  const std::vector<AttendTask> tasks = attend_tasks(context.config, batch, context.pool.size());
  Rows out(batch.rows, context.config.query_width());
  context.pool.for_each(static_cast<int64_t>(tasks.size()), [&](int64_t t, int) {
    run_task(context, batch, layer, tasks[static_cast<size_t>(t)], q, out);
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
  extend_cache(context, batch, layer, p);
  Rows o = attend_rows(context, batch, layer, p.q);
  stage_heads("attn.attn_out_ungated", o.data(), c.heads, dim);
  apply_gate(context, batch.rows, p.q, o);
  tap_stage(context, "attn.gated", layer, o.data(), batch.rows, o.cols(), o.cols());
  tap_input(context, batch, w.output, layer, o.data());
  apply_linear(context, w.output, 0, o.data(), o.cols(), batch.rows, y, c.hidden);
  tap_stage(context, "attn.o_proj", layer, y, batch.rows, c.hidden, c.hidden);
}

}  // namespace karat::model
