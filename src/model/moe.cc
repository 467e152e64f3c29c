// Mixture of experts: the rows of each expert are gathered, go through its matrices together, and
// come back weighted. Each row adds its experts in order of rank, so that the sum does not depend
// on which other rows share the batch.

#include <algorithm>
#include <vector>

#include "model/block.h"
#include "model/linear.h"
#include "model/quantized.h"
#include "model/scratch.h"

namespace karat::model {
namespace {

// Which rows go to which experts. A row's choice number `rank` (0 = largest gate weight) is entry
// row * experts_used + rank of the arrays in row order.
struct Routing {
  std::vector<int32_t> ids;    // [rows * used], row order: the expert
  std::vector<float> weights;  // [rows * used], row order: softmax over the chosen logits
  std::vector<int64_t> place;  // [rows * used], row order: where in the expert-major order
  std::vector<int64_t> first;  // [experts + 1]: each expert's range of the expert-major order
  std::vector<int32_t> entry;  // [rows * used], expert-major: the entry in row order; within
                               // an expert, rows in batch order
};

// The `used` largest logits of a row in decreasing order, ties to the lower index.
void choose(const float* logits, int64_t experts, int64_t used, int32_t* ids, float* chosen) {
  for (int64_t rank = 0; rank < used; ++rank) {
    int32_t best = -1;
    for (int32_t e = 0; e < experts; ++e) {
      const bool free = std::find(ids, ids + rank, e) == ids + rank;
      if (free && (best < 0 || logits[e] > logits[best])) best = e;
    }
    ids[rank] = best;
    chosen[rank] = logits[best];
  }
}

Routing route(const ForwardContext& context, const BlockWeights& weights, const Batch& batch,
              const float* x) {
  const Config& c = context.config;
  Rows logits(batch.rows, c.experts);
  tap_input(context, batch, weights.moe.router, weights.layer, x);
  apply_linear(context, weights.moe.router, 0, x, c.hidden, batch.rows, logits.data(), c.experts);
  tap_stage(context, "moe.router_logits", weights.layer, logits.data(), batch.rows, c.experts,
            c.experts);
  Routing routing;
  const auto entries = static_cast<size_t>(batch.rows * c.experts_used);
  routing.ids.resize(entries);
  routing.weights.resize(entries);
  for_pieces(context.pool, batch.rows, c.experts * c.experts_used, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      float* chosen = routing.weights.data() + r * c.experts_used;
      choose(logits.row(r), c.experts, c.experts_used, routing.ids.data() + r * c.experts_used,
             chosen);
      context.kernels.softmax(chosen, c.experts_used, 1.0F);
    }
  });
  return routing;
}

// Counting sort of the entries by expert.
void sort_by_expert(int64_t experts, Routing& routing) {
  routing.first.assign(static_cast<size_t>(experts + 1), 0);
  for (const int32_t id : routing.ids) ++routing.first[static_cast<size_t>(id) + 1];
  for (size_t e = 1; e < routing.first.size(); ++e) routing.first[e] += routing.first[e - 1];
  std::vector<int64_t> next = routing.first;
  routing.place.resize(routing.ids.size());
  routing.entry.resize(routing.ids.size());
  for (size_t i = 0; i < routing.ids.size(); ++i) {
    const int64_t place = next[static_cast<size_t>(routing.ids[i])]++;
    routing.place[i] = place;
    routing.entry[static_cast<size_t>(place)] = static_cast<int32_t>(i);
  }
}

// Calls each(expert, first, count) for the experts that have rows.
template <class Each>
void for_experts(const Routing& routing, Each each) {
  for (size_t e = 0; e + 1 < routing.first.size(); ++e) {
    const int64_t first = routing.first[e];
    const int64_t count = routing.first[e + 1] - first;
    if (count > 0) each(static_cast<int64_t>(e), first, count);
  }
}

void require_experts(const BlockWeights& weights, const Routing& routing) {
  if (weights.moe.store == nullptr) return;
  std::vector<int32_t> used;
  for_experts(routing,
              [&](int64_t e, int64_t, int64_t) { used.push_back(static_cast<int32_t>(e)); });
  weights.moe.store->require(weights.layer, used);
}

// Rows of the experts' inputs in expert-major order.
Rows gather(const ForwardContext& context, const Routing& routing, const float* x) {
  const Config& c = context.config;
  const auto count = static_cast<int64_t>(routing.entry.size());
  Rows out(count, c.hidden);
  for_pieces(context.pool, count, c.hidden, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const float* row = x + routing.entry[static_cast<size_t>(i)] / c.experts_used * c.hidden;
      std::copy(row, row + c.hidden, out.row(i));
    }
  });
  return out;
}

// Shows each expert's rows to the tap, once for every matrix of `stacks` that exists.
void tap_experts(const ForwardContext& context, int64_t layer, const Batch& batch,
                 const Routing& routing, const Rows& x,
                 std::initializer_list<const Linear*> stacks) {
  if (context.tap == nullptr || context.tap->wants_all_experts()) return;
  const auto used = static_cast<int32_t>(context.config.experts_used);
  std::vector<RowOrigin> origins;
  std::vector<float> gate_weights;
  std::vector<int32_t> ranks;
  for_experts(routing, [&](int64_t e, int64_t first, int64_t count) {
    origins.clear(), gate_weights.clear(), ranks.clear();
    for (int64_t i = first; i < first + count; ++i) {
      const int32_t entry = routing.entry[static_cast<size_t>(i)];
      origins.push_back(batch.origins[static_cast<size_t>(entry / used)]);
      gate_weights.push_back(routing.weights[static_cast<size_t>(entry)]);
      ranks.push_back(entry % used);
    }
    for (const Linear* w : stacks) {
      if (!*w) continue;
      LinearInput input{w->name, layer, x.row(first), count, x.cols(), x.cols(), origins};
      input.expert = e;
      input.gate_weights = gate_weights;
      input.ranks = ranks;
      context.tap->linear_input(input);
    }
  });
}

// The input of a group of products: floats, or for packed weights their quantized tiles only.
struct Operand {
  int64_t cols;
  Rows rows;
  Tiles tiles;
  LinearJob job(const Linear& w, int64_t expert, int64_t first, int64_t count, float* y,
                int64_t ldy) const {
    if (rows.data() != nullptr) return {&w, expert, rows.row(first), cols, count, y, ldy};
    return {&w, expert, nullptr, cols, count, y, ldy, tiles.row(first, cols)};
  }
};

// Whether nobody needs the input of these matrices (of those that exist) as floats.
bool only_tiles(const ForwardContext& context, std::initializer_list<const Linear*> matrices) {
  return context.tap == nullptr && std::all_of(matrices.begin(), matrices.end(), [](auto* w) {
           return !*w || w->layout == Layout::panels;
         });
}

// The experts' inputs in expert-major order.
Operand expert_inputs(const ForwardContext& context, const MoeWeights& w, const Routing& routing,
                      const float* x) {
  const Config& c = context.config;
  Operand out{c.hidden, {}, {}};
  if (!only_tiles(context, {&w.gate_up, &w.gate, &w.up})) {
    out.rows = gather(context, routing, x);
    return out;
  }
  std::vector<int32_t> rows;
  for (const int32_t entry : routing.entry) {
    rows.push_back(entry / static_cast<int32_t>(c.experts_used));
  }
  out.tiles = Tiles(static_cast<int64_t>(rows.size()), c.hidden);
  std::vector<QuantizeJob> jobs;
  for_experts(routing, [&](int64_t, int64_t first, int64_t count) {
    jobs.push_back({x, c.hidden, count, c.hidden, out.tiles.row(first, c.hidden),
                    &rows[static_cast<size_t>(first)]});
  });
  quantize_rows(context, jobs);
  return out;
}

// silu(gate) * up of rows [gate | up] of 2 * width columns.
Rows activate(const ForwardContext& context, const Rows& gate_up, int64_t rows) {
  const int64_t width = gate_up.cols() / 2;
  Rows out(rows, width);
  for_pieces(context.pool, rows, 8 * width, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      context.kernels.silu_mul(gate_up.row(r), gate_up.row(r) + width, width, out.row(r));
    }
  });
  return out;
}

struct Inner {
  Operand experts, shared;
};

// What the down matrices multiply, from what gate and up made.
Inner inner_inputs(const ForwardContext& context, const MoeWeights& w, const Routing& routing,
                   const Rows& gate_up, const Rows& shared_gate_up, int64_t rows) {
  const auto entries = static_cast<int64_t>(routing.entry.size());
  const int64_t width = gate_up.cols() / 2;
  const int64_t shared_width = shared_gate_up.cols() / 2;
  Inner out{{width, {}, {}}, {shared_width, {}, {}}};
  if (!only_tiles(context, {&w.down, &w.shared_down})) {
    out.experts.rows = activate(context, gate_up, entries);
    out.shared.rows = activate(context, shared_gate_up, rows);
    return out;
  }
  out.experts.tiles = Tiles(entries, width);
  out.shared.tiles = Tiles(rows, shared_width);
  std::vector<QuantizeJob> jobs{{shared_gate_up.data(), shared_gate_up.cols(), rows, shared_width,
                                 out.shared.tiles.data(), nullptr, true}};
  for_experts(routing, [&](int64_t, int64_t first, int64_t count) {
    jobs.push_back({gate_up.row(first), gate_up.cols(), count, width,
                    out.experts.tiles.row(first, width), nullptr, true});
  });
  quantize_rows(context, jobs);
  return out;
}

// What the experts and the shared expert make of the rows, before any weighting.
struct Outputs {
  Rows experts;      // [rows * used, H], expert-major
  Rows shared;       // [rows, H]
  Rows shared_gate;  // [rows, 1]: the logit
};

Outputs run_experts(const ForwardContext& context, const BlockWeights& weights, const Batch& batch,
                    const Routing& routing, const float* x) {
  const Config& c = context.config;
  const MoeWeights& w = weights.moe;
  const int64_t entries = batch.rows * c.experts_used;
  const Operand inputs = expert_inputs(context, w, routing, x);
  Rows gate_up(entries, 2 * c.expert_ffn);
  Rows shared_gate_up(batch.rows, 2 * c.shared_ffn);
  Outputs out{Rows(entries, c.hidden), Rows(batch.rows, c.hidden), Rows(batch.rows, 1)};
  std::vector<LinearJob> jobs;
  const auto add = [&](const Linear& linear, float* y, int64_t ldy) {
    jobs.push_back({&linear, 0, x, linear.cols, batch.rows, y, ldy});
  };
  const auto add_experts = [&](const Linear& linear, const Operand& rows, Rows& y, int64_t column) {
    if (!linear) return;
    for_experts(routing, [&](int64_t e, int64_t first, int64_t count) {
      jobs.push_back(rows.job(linear, e, first, count, y.row(first) + column, y.cols()));
    });
  };

  for (const Linear* shared : {&w.shared_router, &w.shared_gate, &w.shared_up}) {
    tap_input(context, batch, *shared, weights.layer, x);
  }
  tap_experts(context, weights.layer, batch, routing, inputs.rows, {&w.gate_up, &w.gate, &w.up});
  add(w.shared_router, out.shared_gate.data(), 1);
  add(w.shared_gate, shared_gate_up.data(), shared_gate_up.cols());
  add(w.shared_up, shared_gate_up.data() + c.shared_ffn, shared_gate_up.cols());
  add_experts(w.gate_up, inputs, gate_up, 0);
  add_experts(w.gate, inputs, gate_up, 0);
  add_experts(w.up, inputs, gate_up, c.expert_ffn);
  apply_linears(context, jobs);

  const Inner inner = inner_inputs(context, w, routing, gate_up, shared_gate_up, batch.rows);
  tap_input(context, batch, w.shared_down, weights.layer, inner.shared.rows.data());
  tap_experts(context, weights.layer, batch, routing, inner.experts.rows, {&w.down});
  jobs.clear();
  jobs.push_back(inner.shared.job(w.shared_down, 0, 0, batch.rows, out.shared.data(), c.hidden));
  add_experts(w.down, inner.experts, out.experts, 0);
  apply_linears(context, jobs);
  return out;
}

// y = sum over ranks of weight * expert row, from rank 0 up.
void add_routed(const ForwardContext& context, const Routing& routing, const Rows& experts,
                int64_t rows, float* y) {
  const Config& c = context.config;
  for_pieces(context.pool, rows, c.experts_used * c.hidden, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      float* sum = y + r * c.hidden;
      std::fill(sum, sum + c.hidden, 0.0F);
      for (int64_t i = r * c.experts_used; i < (r + 1) * c.experts_used; ++i) {
        const auto entry = static_cast<size_t>(i);
        context.kernels.axpy(routing.weights[entry], experts.row(routing.place[entry]), c.hidden,
                             sum);
      }
    }
  });
}

void add_shared(const ForwardContext& context, const Outputs& outputs, int64_t rows, float* y) {
  const int64_t hidden = context.config.hidden;
  for_pieces(context.pool, rows, hidden, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      float gate;
      context.kernels.sigmoid(outputs.shared_gate.row(r), 1, &gate);
      context.kernels.axpy(gate, outputs.shared.row(r), hidden, y + r * hidden);
    }
  });
}

void tap_choice(const ForwardContext& context, int64_t layer, int64_t rows, Routing& routing) {
  const Tap* tap = context.tap;
  if (tap == nullptr) return;
  if (!tap->wants_stage("moe.topk_ids") && !tap->wants_stage("moe.topk_weights")) return;
  const int64_t used = context.config.experts_used;
  std::vector<float> ids(routing.ids.begin(), routing.ids.end());
  tap_stage(context, "moe.topk_ids", layer, ids.data(), rows, used, used);
  tap_stage(context, "moe.topk_weights", layer, routing.weights.data(), rows, used, used);
}

void tap_outputs(const ForwardContext& context, int64_t layer, int64_t rows, const Routing& routing,
                 Outputs& outputs) {
  if (context.tap == nullptr) return;
  const int64_t hidden = context.config.hidden;
  for_experts(routing, [&](int64_t e, int64_t first, int64_t count) {
    context.tap->expert_output({layer, e, outputs.experts.row(first), count, hidden});
  });
  if (context.tap->wants_stage("moe.expert_out")) {
    Rows ranked(static_cast<int64_t>(routing.place.size()), hidden);
    for (size_t i = 0; i < routing.place.size(); ++i) {
      const float* row = outputs.experts.row(routing.place[i]);
      std::copy(row, row + hidden, ranked.row(static_cast<int64_t>(i)));
    }
    tap_stage(context, "moe.expert_out", layer, ranked.data(), rows * context.config.experts_used,
              hidden, hidden);
  }
  tap_stage(context, "moe.shared_expert", layer, outputs.shared.data(), rows, hidden, hidden);
  tap_stage(context, "moe.shared_gate_logit", layer, outputs.shared_gate.data(), rows, 1, 1);
}

// Shows the tap what every expert's matrices would see of every row. Computed expert by expert and
// thrown away.
void tap_all_experts(const ForwardContext& context, const BlockWeights& weights, const Batch& batch,
                     const float* x) {
  if (context.tap == nullptr || !context.tap->wants_all_experts()) return;
  const Config& c = context.config;
  const MoeWeights& w = weights.moe;
  Rows gate_up(batch.rows, 2 * c.expert_ffn);
  const auto show = [&](const Linear& linear, int64_t expert, const float* rows) {
    if (!linear) return;
    LinearInput input{linear.name, weights.layer, rows,         batch.rows,
                      linear.cols, linear.cols,   batch.origins};
    input.expert = expert;
    context.tap->linear_input(input);
  };
  for (int64_t e = 0; e < c.experts; ++e) {
    const auto expert = static_cast<int32_t>(e);
    if (w.store != nullptr) w.store->require(weights.layer, {&expert, 1});
    std::vector<LinearJob> jobs;
    for (const Linear* linear : {&w.gate_up, &w.gate, &w.up}) {
      show(*linear, e, x);
      const int64_t column = linear == &w.up ? c.expert_ffn : 0;
      if (*linear) {
        jobs.push_back(
            {linear, e, x, c.hidden, batch.rows, gate_up.data() + column, gate_up.cols()});
      }
    }
    apply_linears(context, jobs);
    const Rows inner = activate(context, gate_up, batch.rows);
    show(w.down, e, inner.data());
  }
}

}  // namespace

std::vector<int32_t> likely_experts(const ForwardContext& context, const BlockWeights& weights,
                                    const float* x, int64_t rows) {
  const Config& c = context.config;
  Rows normed(rows, c.hidden), logits(rows, c.experts);
  norm_rows(context, x, weights.post_attention_norm, rows, normed.data());
  apply_linear(context, weights.moe.router, 0, normed.data(), c.hidden, rows, logits.data(),
               c.experts);
  const auto used = static_cast<size_t>(c.experts_used);
  std::vector<int32_t> ids(static_cast<size_t>(rows) * used);
  std::vector<float> chosen(used);
  for (int64_t r = 0; r < rows; ++r) {
    choose(logits.row(r), c.experts, c.experts_used, ids.data() + r * c.experts_used,
           chosen.data());
  }
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  return ids;
}

void moe(const ForwardContext& context, const BlockWeights& weights, const Batch& batch,
         const float* x, float* y) {
  const int64_t layer = weights.layer;
  const int64_t hidden = context.config.hidden;
  Routing routing = route(context, weights, batch, x);
  tap_choice(context, layer, batch.rows, routing);
  sort_by_expert(context.config.experts, routing);
  tap_all_experts(context, weights, batch, x);
  require_experts(weights, routing);
  Outputs outputs = run_experts(context, weights, batch, routing, x);
  tap_outputs(context, layer, batch.rows, routing, outputs);
  add_routed(context, routing, outputs.experts, batch.rows, y);
  tap_stage(context, "moe.routed_sum", layer, y, batch.rows, hidden, hidden);
  add_shared(context, outputs, batch.rows, y);
  tap_stage(context, "moe.out", layer, y, batch.rows, hidden, hidden);
}

}  // namespace karat::model
