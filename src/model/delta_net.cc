// Gated DeltaNet (Yang et al., "Gated Delta Networks: Improving Mamba2 with Delta Rule", 2024) as
// the family uses it: short convolution, normalised keys and queries, gated output norm.

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/error.h"
#include "model/block.h"
#include "model/linear.h"
#include "model/scratch.h"

namespace karat::model {
namespace {

// The four projections of a batch.
struct Projected {
  Rows qkv;    // [rows, conv_channels]: q, k [key_heads, key_dim], v [value_heads, value_dim]
  Rows z;      // [rows, value_width]
  Rows beta;   // [rows, value_heads]
  Rows decay;  // [rows, value_heads]: alpha, then g
};

Projected project(const ForwardContext& context, const BlockWeights& weights, const Batch& batch,
                  const float* x) {
  const Config& c = context.config;
  const DeltaWeights& w = weights.delta;
  Projected p{Rows(batch.rows, c.conv_channels()), Rows(batch.rows, c.value_width()),
              Rows(batch.rows, c.value_heads), Rows(batch.rows, c.value_heads)};
  std::vector<LinearJob> jobs;
  const auto add = [&](const Linear& linear, Rows& y) {
    tap_input(context, batch, linear, weights.layer, x);
    jobs.push_back({&linear, 0, x, c.hidden, batch.rows, y.data(), y.cols()});
  };
  add(w.qkv, p.qkv);
  add(w.gate, p.z);
  add(w.beta, p.beta);
  add(w.alpha, p.decay);
  apply_linears(context, jobs);
  return p;
}

// Row `t` of a segment's qkv, or for t < 0 the row that many before it from the state.
const float* conv_row(const Rows& qkv, int64_t first_row, const DeltaState& state, int64_t taps,
                      int64_t t) {
  return t >= 0 ? qkv.row(first_row + t) : state.conv.data() + (taps - 1 + t) * qkv.cols();
}

// The last taps - 1 rows before the next token become the state's window.
void keep_window(const Rows& qkv, int64_t first_row, int64_t rows, int64_t taps,
                 DeltaState& state) {
  const int64_t channels = qkv.cols();
  for (int64_t i = 0; i < taps - 1; ++i) {  // a source in the window lies at or after row i
    const float* row = conv_row(qkv, first_row, state, taps, rows - (taps - 1) + i);
    float* kept = state.conv.data() + i * channels;
    if (row != kept) std::copy(row, row + channels, kept);
  }
}

// Causal convolution and SiLU of every segment.
Rows convolve(const ForwardContext& context, const BlockWeights& weights, const Batch& batch,
              const Rows& qkv) {
  const int64_t taps = context.config.conv_taps;
  const int64_t channels = qkv.cols();
  Rows out(batch.rows, channels);
  for_pieces(context.pool, batch.rows, channels * (taps + 8), [&](int64_t begin, int64_t end) {
    std::vector<const float*> window(static_cast<size_t>(taps));
    for (int64_t r = begin; r < end; ++r) {
      const auto s = static_cast<size_t>(batch.segment_of[static_cast<size_t>(r)]);
      const DeltaState& state = batch.segments[s].state->block(weights.layer).delta;
      const int64_t t = r - batch.first_row[s];
      for (int64_t j = 0; j < taps; ++j) {
        window[static_cast<size_t>(j)] =
            conv_row(qkv, batch.first_row[s], state, taps, t - (taps - 1) + j);
      }
      context.kernels.conv_silu(window.data(), weights.delta.conv.data(), taps, channels,
                                out.row(r));
    }
  });
  for (size_t s = 0; s < batch.segments.size(); ++s) {
    const Segment& segment = batch.segments[s];
    keep_window(qkv, batch.first_row[s], segment.rows, taps,
                segment.state->block(weights.layer).delta);
  }
  return out;
}

// beta = sigmoid(b), g = a * softplus(alpha + dt), in place.
void make_gates(const ForwardContext& context, const DeltaWeights& w, int64_t rows, Projected& p) {
  const int64_t heads = context.config.value_heads;
  for_pieces(context.pool, rows, 32 * heads, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      context.kernels.sigmoid(p.beta.row(r), heads, p.beta.row(r));
      context.kernels.delta_gate(p.decay.row(r), w.dt.data(), w.a.data(), heads, p.decay.row(r));
    }
  });
}

// L2-normalises one part (queries or keys) of every row, head by head, from `u` to `out`.
void normalize_heads(const ForwardContext& context, int64_t rows, const float* u, int64_t ld,
                     float scale, float* out, int64_t ld_out) {
  const Config& c = context.config;
  for_pieces(context.pool, rows, 3 * c.key_width(), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      for (int64_t h = 0; h < c.key_heads; ++h) {
        context.kernels.l2_norm(u + r * ld + h * c.key_dim, c.rms_eps, scale, c.key_dim,
                                out + r * ld_out + h * c.key_dim);
      }
    }
  });
}

void normalize(const ForwardContext& context, int64_t layer, int64_t rows, Rows& u) {
  const Config& c = context.config;
  float* q = u.data();
  float* k = u.data() + c.key_width();
  if (context.tap != nullptr && context.tap->wants_stage("gdn.q_l2")) {
    Rows copy(rows, c.key_width());
    normalize_heads(context, rows, q, u.cols(), 1.0F, copy.data(), copy.cols());
    tap_stage(context, "gdn.q_l2", layer, copy.data(), rows, copy.cols(), copy.cols());
    normalize_heads(context, rows, k, u.cols(), 1.0F, copy.data(), copy.cols());
    tap_stage(context, "gdn.k_l2", layer, copy.data(), rows, copy.cols(), copy.cols());
  }
  const auto scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(c.key_dim)));
  normalize_heads(context, rows, q, u.cols(), scale, q, u.cols());
  normalize_heads(context, rows, k, u.cols(), 1.0F, k, u.cols());
}

// The delta rule over every (segment, V head). Value head j uses key head j mod key_heads.
Rows recur(const ForwardContext& context, const BlockWeights& weights, const Batch& batch,
           const Rows& u, const Projected& p) {
  const Config& c = context.config;
  const bool chunked = context.options.delta_rule == DeltaRule::chunked;
  Rows out(batch.rows, c.value_width());
  const auto tasks = static_cast<int64_t>(batch.segments.size()) * c.value_heads;
  const int64_t cost =
      batch.rows * c.value_heads * c.key_dim * c.value_dim / std::max<int64_t>(tasks, 1);
  for_pieces(context.pool, tasks, cost, [&](int64_t begin, int64_t end) {
    std::vector<float> scratch;
    if (chunked) {
      const int64_t floats = kernels::delta_scratch_floats(c.key_dim, c.value_dim);
      scratch.resize(static_cast<size_t>(floats));
    }
    for (int64_t task = begin; task < end; ++task) {
      const auto s = static_cast<size_t>(task / c.value_heads);
      const int64_t head = task % c.value_heads;
      const int64_t row = batch.first_row[s];
      const Segment& segment = batch.segments[s];
      DeltaState& state = segment.state->block(weights.layer).delta;
      const float* q = u.row(row) + head % c.key_heads * c.key_dim;
      kernels::DeltaArgs args{};
      args.q = q, args.k = q + c.key_width();
      args.v = u.row(row) + 2 * c.key_width() + head * c.value_dim;
      args.g = p.decay.row(row) + head, args.beta = p.beta.row(row) + head;
      args.o = out.row(row) + head * c.value_dim;
      args.state = state.recurrent.data() + head * c.key_dim * c.value_dim;
      args.ldq = args.ldk = args.ldv = u.cols();
      args.ld_gate = c.value_heads, args.ldo = out.cols();
      args.tokens = segment.rows, args.dk = c.key_dim, args.dv = c.value_dim;
      args.scratch = scratch.data();
      (chunked ? context.kernels.delta_chunked : context.kernels.delta_recurrent)(args);
    }
  });
  return out;
}

// Gated RMS norm per V head, in place.
void norm_output(const ForwardContext& context, const DeltaWeights& w, int64_t rows, const Rows& z,
                 Rows& o) {
  const Config& c = context.config;
  for_pieces(context.pool, rows, 10 * c.value_width(), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      for (int64_t at = 0; at < c.value_width(); at += c.value_dim) {
        context.kernels.gated_norm(o.row(r) + at, w.norm.data(), z.row(r) + at, c.rms_eps,
                                   c.value_dim, o.row(r) + at);
      }
    }
  });
}

}  // namespace

void delta_net(const ForwardContext& context, const BlockWeights& weights, const Batch& batch,
               const float* x, float* y) {
  const DeltaWeights& w = weights.delta;
  const int64_t layer = weights.layer;
  const int64_t hidden = context.config.hidden;
  const auto stage = [&](std::string_view name, Rows& rows) {
    tap_stage(context, name, layer, rows.data(), batch.rows, rows.cols(), rows.cols());
  };

  Projected p = project(context, weights, batch, x);
  stage("gdn.in_proj_qkv", p.qkv);
  stage("gdn.in_proj_z", p.z);
  stage("gdn.in_proj_b", p.beta);
  stage("gdn.in_proj_a", p.decay);
  Rows u = convolve(context, weights, batch, p.qkv);
  stage("gdn.conv_silu", u);
  normalize(context, layer, batch.rows, u);
  make_gates(context, w, batch.rows, p);
  stage("gdn.beta", p.beta);
  stage("gdn.g", p.decay);
  Rows o = recur(context, weights, batch, u, p);
  stage("gdn.core_out", o);
  norm_output(context, w, batch.rows, p.z, o);
  stage("gdn.gated_norm", o);
  tap_input(context, batch, w.out, layer, o.data());
  apply_linear(context, w.out, 0, o.data(), o.cols(), batch.rows, y, hidden);
  tap_stage(context, "gdn.out_proj", layer, y, batch.rows, hidden, hidden);
}

}  // namespace karat::model
