// Mixture of experts: the rows of each expert are gathered, go through its matrices together, and
// come back weighted. Each row adds its experts in increasing number, so that the sum does not
// depend on which other rows share the batch. Experts are taken in groups whose intermediates stay
// in a cache, whatever the size of the batch.

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
  routing.entry.resize(routing.ids.size());
  for (size_t i = 0; i < routing.ids.size(); ++i) {
    const int64_t place = next[static_cast<size_t>(routing.ids[i])]++;
    routing.entry[static_cast<size_t>(place)] = static_cast<int32_t>(i);
  }
}

// Experts [begin, end), with entries [first, first + count) of the expert-major order.
struct Group {
  int64_t begin, end, first, count;
  int64_t room;  // entries that every group's buffers have: as many as the widest needs, in steps
                 // of kExpertGroupEntries, so that all groups and blocks use the same memory
};

// Calls each(expert, first, count) for the group's experts that have rows, which are
// [first, first + count) of the group's.
template <class Each>
void for_experts(const Routing& routing, const Group& group, Each each) {
  for (int64_t e = group.begin; e < group.end; ++e) {
    const int64_t first = routing.first[static_cast<size_t>(e)];
    const int64_t count = routing.first[static_cast<size_t>(e) + 1] - first;
    if (count > 0) each(e, first - group.first, count);
  }
}

// All experts, in groups of at least kExpertGroupEntries entries (model/forward.h).
std::vector<Group> groups_of(const Routing& routing) {
  std::vector<Group> groups;
  for (size_t e = 0; e + 1 < routing.first.size(); ++e) {
    if (groups.empty() || groups.back().count >= kExpertGroupEntries) {
      groups.push_back({static_cast<int64_t>(e), 0, routing.first[e], 0, 0});
    }
    groups.back().end = static_cast<int64_t>(e) + 1;
    groups.back().count = routing.first[e + 1] - groups.back().first;
  }
  int64_t room = 0;
  for (const Group& group : groups) room = std::max(room, group.count);
  room = (room + kExpertGroupEntries - 1) / kExpertGroupEntries * kExpertGroupEntries;
  room = std::min(room, routing.first.back());
  for (Group& group : groups) group.room = room;
  return groups;
}

void require_experts(const BlockWeights& weights, const Routing& routing) {
  if (weights.moe.store == nullptr) return;
  std::vector<int32_t> used;
  for (size_t e = 0; e + 1 < routing.first.size(); ++e) {
    if (routing.first[e + 1] > routing.first[e]) used.push_back(static_cast<int32_t>(e));
  }
  weights.moe.store->require(weights.layer, used);
}

// The group's entries in row order, expert-major.
std::span<const int32_t> entries_of(const Routing& routing, const Group& group) {
  return std::span(routing.entry)
      .subspan(static_cast<size_t>(group.first), static_cast<size_t>(group.count));
}

// Rows of the group's inputs, expert-major.
Rows gather(const ForwardContext& context, const Routing& routing, const Group& group,
            const float* x) {
  const Config& c = context.config;
  const std::span<const int32_t> entries = entries_of(routing, group);
  Rows out(group.room, c.hidden);
  for_pieces(context.pool, group.count, c.hidden, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const float* row = x + entries[static_cast<size_t>(i)] / c.experts_used * c.hidden;
      std::copy(row, row + c.hidden, out.row(i));
    }
  });
  return out;
}

// Shows each expert's rows to the tap, once for every matrix of `stacks` that exists.
void tap_experts(const ForwardContext& context, int64_t layer, const Batch& batch,
                 const Routing& routing, const Group& group, const Rows& x,
                 std::initializer_list<const Linear*> stacks) {
  if (context.tap == nullptr || context.tap->wants_all_experts()) return;
  const auto used = static_cast<int32_t>(context.config.experts_used);
  const std::span<const int32_t> entries = entries_of(routing, group);
  std::vector<RowOrigin> origins;
  std::vector<float> gate_weights;
  std::vector<int32_t> ranks;
  for_experts(routing, group, [&](int64_t e, int64_t first, int64_t count) {
    origins.clear(), gate_weights.clear(), ranks.clear();
    for (int64_t i = first; i < first + count; ++i) {
      const int32_t entry = entries[static_cast<size_t>(i)];
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

// The inputs of the group's experts, expert-major.
Operand expert_inputs(const ForwardContext& context, const MoeWeights& w, const Routing& routing,
                      const Group& group, const float* x) {
  const Config& c = context.config;
  Operand out{c.hidden, {}, {}};
  if (!only_tiles(context, {&w.gate_up, &w.gate, &w.up})) {
    out.rows = gather(context, routing, group, x);
    return out;
  }
  std::vector<int32_t> rows;
  for (const int32_t entry : entries_of(routing, group)) {
    rows.push_back(entry / static_cast<int32_t>(c.experts_used));
  }
  out.tiles = Tiles(group.room, c.hidden);
  std::vector<QuantizeJob> jobs;
  for_experts(routing, group, [&](int64_t, int64_t first, int64_t count) {
    jobs.push_back({x, c.hidden, count, c.hidden, out.tiles.row(first, c.hidden),
                    &rows[static_cast<size_t>(first)]});
  });
  quantize_rows(context, jobs);
  return out;
}

// silu(gate) * up of rows [gate | up] of 2 * width columns.
void activate(const ForwardContext& context, const Rows& gate_up, int64_t rows, Rows& out) {
  const int64_t width = gate_up.cols() / 2;
  for_pieces(context.pool, rows, 8 * width, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      context.kernels.silu_mul(gate_up.row(r), gate_up.row(r) + width, width, out.row(r));
    }
  });
}

// What the experts of a group and, with the first group, the shared expert make of the rows, before
// any weighting.
struct Outputs {
  Rows gate_up;         // [entries, 2 * expert_ffn], expert-major
  Rows experts;         // [entries, H], expert-major
  Rows shared_gate_up;  // [rows, 2 * shared_ffn]
  Rows shared;          // [rows, H]
  Rows shared_gate;     // [rows, 1]: the logit
};

struct Inner {
  Operand experts, shared;
};

// What the down matrices multiply, from what gate and up made; the shared expert's for
// `shared_rows` rows.
Inner inner_inputs(const ForwardContext& context, const MoeWeights& w, const Routing& routing,
                   const Group& group, const Outputs& made, int64_t shared_rows) {
  const int64_t width = made.gate_up.cols() / 2;
  const int64_t shared_width = made.shared_gate_up.cols() / 2;
  Inner out{{width, {}, {}}, {shared_width, {}, {}}};
  if (!only_tiles(context, {&w.down, &w.shared_down})) {
    out.experts.rows = Rows(group.room, width);
    out.shared.rows = Rows(shared_rows, shared_width);
    activate(context, made.gate_up, group.count, out.experts.rows);
    activate(context, made.shared_gate_up, shared_rows, out.shared.rows);
    return out;
  }
  out.experts.tiles = Tiles(group.room, width);
  out.shared.tiles = Tiles(shared_rows, shared_width);
  std::vector<QuantizeJob> jobs{{made.shared_gate_up.data(), made.shared_gate_up.cols(),
                                 shared_rows, shared_width, out.shared.tiles.data(), nullptr,
                                 true}};
  for_experts(routing, group, [&](int64_t, int64_t first, int64_t count) {
    jobs.push_back({made.gate_up.row(first), made.gate_up.cols(), count, width,
                    out.experts.tiles.row(first, width), nullptr, true});
  });
  quantize_rows(context, jobs);
  return out;
}

void run_group(const ForwardContext& context, const BlockWeights& weights, const Batch& batch,
               const Routing& routing, const Group& group, const float* x, Outputs& out) {
  const Config& c = context.config;
  const MoeWeights& w = weights.moe;
  const int64_t shared_rows = group.begin == 0 ? batch.rows : 0;
  const Operand inputs = expert_inputs(context, w, routing, group, x);
  std::vector<LinearJob> jobs;
  const auto add_shared = [&](const Linear& linear, float* y, int64_t ldy) {
    if (shared_rows == 0) return;
    tap_input(context, batch, linear, weights.layer, x);
    jobs.push_back({&linear, 0, x, linear.cols, shared_rows, y, ldy});
  };
  const auto add_experts = [&](const Linear& linear, const Operand& rows, Rows& y, int64_t column) {
    if (!linear) return;
    for_experts(routing, group, [&](int64_t e, int64_t first, int64_t count) {
      jobs.push_back(rows.job(linear, e, first, count, y.row(first) + column, y.cols()));
    });
  };

  add_shared(w.shared_router, out.shared_gate.data(), 1);
  add_shared(w.shared_gate, out.shared_gate_up.data(), out.shared_gate_up.cols());
  add_shared(w.shared_up, out.shared_gate_up.data() + c.shared_ffn, out.shared_gate_up.cols());
  tap_experts(context, weights.layer, batch, routing, group, inputs.rows,
              {&w.gate_up, &w.gate, &w.up});
  add_experts(w.gate_up, inputs, out.gate_up, 0);
  add_experts(w.gate, inputs, out.gate_up, 0);
  add_experts(w.up, inputs, out.gate_up, c.expert_ffn);
  apply_linears(context, jobs);

  const Inner inner = inner_inputs(context, w, routing, group, out, shared_rows);
  jobs.clear();
  if (shared_rows > 0) {
    tap_input(context, batch, w.shared_down, weights.layer, inner.shared.rows.data());
    jobs.push_back(inner.shared.job(w.shared_down, 0, 0, batch.rows, out.shared.data(), c.hidden));
  }
  tap_experts(context, weights.layer, batch, routing, group, inner.experts.rows, {&w.down});
  add_experts(w.down, inner.experts, out.experts, 0);
  apply_linears(context, jobs);
}

// y += weight * expert row for the group's entries, a row's in increasing number of the expert.
void add_routed(const ForwardContext& context, const Routing& routing, const Group& group,
                const Rows& experts, float* y) {
  constexpr int64_t kColumns = 64;
  const Config& c = context.config;
  const std::span<const int32_t> entries = entries_of(routing, group);
  const int64_t blocks = (c.hidden + kColumns - 1) / kColumns;
  for_pieces(context.pool, blocks, kColumns * group.count, [&](int64_t begin, int64_t end) {
    const int64_t first = begin * kColumns;
    const int64_t columns = std::min(end * kColumns, c.hidden) - first;
    for (int64_t i = 0; i < group.count; ++i) {
      const int32_t entry = entries[static_cast<size_t>(i)];
      context.kernels.axpy(routing.weights[static_cast<size_t>(entry)], experts.row(i) + first,
                           columns, y + entry / c.experts_used * c.hidden + first);
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

// Shows the tap a group's outputs; `ranked` gets a copy in row order where it has rows.
void tap_outputs(const ForwardContext& context, int64_t layer, const Routing& routing,
                 const Group& group, const Rows& experts, Rows& ranked) {
  if (context.tap == nullptr) return;
  const int64_t hidden = context.config.hidden;
  for_experts(routing, group, [&](int64_t e, int64_t first, int64_t count) {
    context.tap->expert_output({layer, e, experts.row(first), count, hidden});
  });
  if (ranked.data() == nullptr) return;
  const std::span<const int32_t> entries = entries_of(routing, group);
  for (int64_t i = 0; i < group.count; ++i) {
    std::copy_n(experts.row(i), hidden, ranked.row(entries[static_cast<size_t>(i)]));
  }
}

// Shows the tap what every expert's matrices would see of every row. Computed expert by expert and
// thrown away.
void tap_all_experts(const ForwardContext& context, const BlockWeights& weights, const Batch& batch,
                     const float* x) {
  if (context.tap == nullptr || !context.tap->wants_all_experts()) return;
  const Config& c = context.config;
  const MoeWeights& w = weights.moe;
  Rows gate_up(batch.rows, 2 * c.expert_ffn), inner(batch.rows, c.expert_ffn);
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
    activate(context, gate_up, batch.rows, inner);
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
  const Config& c = context.config;
  const int64_t layer = weights.layer;
  const auto stage = [&](std::string_view name, float* values, int64_t rows, int64_t columns) {
    tap_stage(context, name, layer, values, rows, columns, columns);
  };
  Routing routing = route(context, weights, batch, x);
  tap_choice(context, layer, batch.rows, routing);
  sort_by_expert(c.experts, routing);
  tap_all_experts(context, weights, batch, x);
  require_experts(weights, routing);

  const std::vector<Group> groups = groups_of(routing);
  const int64_t room = groups.front().room;
  Outputs outputs{Rows(room, 2 * c.expert_ffn), Rows(room, c.hidden),
                  Rows(batch.rows, 2 * c.shared_ffn), Rows(batch.rows, c.hidden),
                  Rows(batch.rows, 1)};
  const bool wants_ranked = context.tap != nullptr && context.tap->wants_stage("moe.expert_out");
  const int64_t entries = batch.rows * c.experts_used;
  Rows ranked(wants_ranked ? entries : 0, c.hidden);
  for_pieces(context.pool, batch.rows, c.hidden, [&](int64_t begin, int64_t end) {
    std::fill(y + begin * c.hidden, y + end * c.hidden, 0.0F);
  });
  for (const Group& group : groups) {
    run_group(context, weights, batch, routing, group, x, outputs);
    tap_outputs(context, layer, routing, group, outputs.experts, ranked);
    add_routed(context, routing, group, outputs.experts, y);
  }
  if (wants_ranked) stage("moe.expert_out", ranked.data(), entries, c.hidden);
  stage("moe.shared_expert", outputs.shared.data(), batch.rows, c.hidden);
  stage("moe.shared_gate_logit", outputs.shared_gate.data(), batch.rows, 1);
  stage("moe.routed_sum", y, batch.rows, c.hidden);
  add_shared(context, outputs, batch.rows, y);
  stage("moe.out", y, batch.rows, c.hidden);
}

}  // namespace karat::model
