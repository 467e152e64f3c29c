// What every stage of a block may be when it receives the golden values of the stages before it:
// the golden value and the error bound of float32 arithmetic, stage by stage, for the 64-token
// prompt.
#pragma once

#include <cmath>
#include <functional>
#include <map>
#include <string>

#include "golden/approx.h"
#include "support/golden.h"

namespace karat::golden {

class StageReference {
 public:
  explicit StageReference(const Tiny& tiny) : tiny_(tiny), c_(tiny.config), eps_(c_.rms_eps) {}

  // The golden values of a stage ("l0.gdn.beta"), V heads in canonical order.
  std::vector<double> golden(const std::string& key) const {
    const std::vector<double> values = goldens_.get(key);
    const size_t dot = key.find(".gdn.");
    if (dot == std::string::npos) return values;
    const std::string name = key.substr(dot + 5);
    if (name == "in_proj_qkv" || name == "conv_silu") {
      return tile_heads(c_, values, 2 * c_.key_width(), c_.value_dim);
    }
    if (name == "in_proj_z" || name == "core_out" || name == "gated_norm") {
      return tile_heads(c_, values, 0, c_.value_dim);
    }
    if (name == "final_state") return tile_heads(c_, values, 0, c_.key_dim * c_.value_dim);
    const bool per_head =
        name == "in_proj_a" || name == "in_proj_b" || name == "beta" || name == "g";
    return per_head ? tile_heads(c_, values, 0, 1) : values;
  }

  // The hidden rows that enter a layer.
  std::vector<double> input(int64_t layer) const {
    if (layer > 0) return goldens_.get("l" + std::to_string(layer - 1) + ".out");
    const std::vector<int32_t> ids = Goldens("text/seq064.safetensors").ids("input_ids");
    const auto* table = reinterpret_cast<const float*>(tiny_.head.token_embd.data);
    std::vector<double> out;
    for (const int32_t id : ids)
      out.insert(out.end(), table + id * c_.hidden, table + (id + 1) * c_.hidden);
    return out;
  }

  // All stages of one layer, by full name; "gdn.final_state" among them.
  std::map<std::string, Approx> layer(int64_t layer) const {
    Maker maker{
        *this, tiny_.blocks[static_cast<size_t>(layer)], "l" + std::to_string(layer) + ".", {}};
    maker.block();
    maker.w.mixer == model::Mixer::delta_net ? maker.delta_net() : maker.attention();
    maker.moe();
    return maker.out;
  }

  const Goldens& goldens() const { return goldens_; }
  static constexpr int64_t kTokens = 64;

 private:
  struct Maker {
    const StageReference& reference;
    const model::BlockWeights& w;
    std::string prefix;
    std::map<std::string, Approx> out;

    // The rows of a stage as the pass receives them: golden values, rounded.
    Approx fed(const std::string& name) const { return rounded(reference.golden(prefix + name)); }
    // out[name] = body of each of `rows` equal parts of the inputs.
    void each(const std::string& name, const std::vector<Approx>& inputs, int64_t rows,
              const std::function<Approx(const std::vector<Approx>&)>& body) {
      Approx& result = out[prefix + name];
      for (int64_t r = 0; r < rows; ++r) {
        std::vector<Approx> parts;
        for (const Approx& input : inputs) {
          const auto cols = static_cast<int64_t>(input.size()) / rows;
          parts.push_back(input.part(r * cols, cols));
        }
        result.append(body(parts));
      }
    }
    void block();
    void delta_net();
    void attention();
    void moe();
    void gates();
    void recurrence();
    Approx attended(int64_t row, int64_t head, const Approx& q, const Approx& k,
                    const Approx& v) const;
    void rope(const std::string& from, const std::string& to, int64_t heads);
    void experts();
  };

  const Tiny& tiny_;
  const model::Config& c_;
  double eps_;
  Goldens goldens_{"text/seq064_stages_f64.safetensors"};
};

inline void StageReference::Maker::block() {
  const double eps = reference.eps_;
  const Approx x = rounded(reference.input(w.layer));
  const auto norm = [&](const model::Vector& weight) {
    return [&weight, eps](const std::vector<Approx>& in) { return rms_norm(in[0], weight, eps); };
  };
  const auto sum = [](const std::vector<Approx>& in) { return add(in[0], in[1]); };
  const bool delta = w.mixer == model::Mixer::delta_net;
  each("input_layernorm", {x}, kTokens, norm(w.attn_norm));
  each("after_mixer", {x, fed(delta ? "gdn.out_proj" : "attn.o_proj")}, kTokens, sum);
  each("post_attention_layernorm", {fed("after_mixer")}, kTokens, norm(w.post_attention_norm));
  each("out", {fed("after_mixer"), fed("moe.out")}, kTokens, sum);
}

inline void StageReference::Maker::delta_net() {
  const model::Config& c = reference.c_;
  const double eps = reference.eps_;
  const model::DeltaWeights& d = w.delta;
  const auto project = [&](const char* name, const char* from, const model::Linear& weight) {
    each(name, {fed(from)}, kTokens,
         [&](const std::vector<Approx>& in) { return linear(weight, in[0]); });
  };
  project("gdn.in_proj_qkv", "input_layernorm", d.qkv);
  project("gdn.in_proj_z", "input_layernorm", d.gate);
  project("gdn.in_proj_b", "input_layernorm", d.beta);
  project("gdn.in_proj_a", "input_layernorm", d.alpha);
  project("gdn.out_proj", "gdn.gated_norm", d.out);

  const Approx m = fed("gdn.in_proj_qkv");
  const int64_t channels = c.conv_channels(), taps = c.conv_taps;
  Approx sums(m.size());
  for (int64_t at = 0; at < static_cast<int64_t>(m.size()); ++at) {
    const int64_t channel = at % channels;
    double magnitude = 0;
    const auto i = static_cast<size_t>(at);
    for (int64_t j = 0; j < taps; ++j) {
      const int64_t from = at - (taps - 1 - j) * channels;
      if (from < 0) continue;
      const double weight = d.conv[static_cast<size_t>(channel * taps + j)];
      sums.v[i] += weight * m.v[static_cast<size_t>(from)];
      sums.e[i] += std::fabs(weight) * m.e[static_cast<size_t>(from)];
      magnitude += std::fabs(weight * m.v[static_cast<size_t>(from)]);
    }
    sums.e[i] += static_cast<double>(taps) * kUnit * magnitude;
  }
  out[prefix + "gdn.conv_silu"] = silu(sums);

  const auto l2 = [&](const std::vector<Approx>& in) { return l2_norm(in[0], eps); };
  Approx q, k;
  const Approx u = fed("gdn.conv_silu");
  for (int64_t t = 0; t < kTokens; ++t) {
    q.append(u.part(t * channels, c.key_width()));
    k.append(u.part(t * channels + c.key_width(), c.key_width()));
  }
  each("gdn.q_l2", {q}, kTokens * c.key_heads, l2);
  each("gdn.k_l2", {k}, kTokens * c.key_heads, l2);

  gates();
  recurrence();

  each("gdn.gated_norm", {fed("gdn.core_out"), fed("gdn.in_proj_z")}, kTokens * c.value_heads,
       [&](const std::vector<Approx>& in) {
         return multiply(rms_norm(in[0], d.norm, eps), silu(in[1]));
       });
}

inline void StageReference::Maker::gates() {
  const model::DeltaWeights& d = w.delta;
  out[prefix + "gdn.beta"] = sigmoid(fed("gdn.in_proj_b"));
  const Approx alpha = fed("gdn.in_proj_a");
  Approx g(alpha.size());
  for (size_t i = 0; i < g.size(); ++i) {
    const size_t head = i % d.a.size();
    const double z = alpha.v[i] + static_cast<double>(d.dt[head]);
    const double a = d.a[head];  // -exp(A_log) of the file: within 2 ulp of the golden's
    const double softplus = z > 20 ? z : std::log1p(std::exp(z));
    const double error = sigmoid_of(z) * (alpha.e[i] + kUnit * std::fabs(z));
    g.v[i] = a * softplus;
    g.e[i] =
        (std::fabs(a) * error + (kSoftplus + 1 + 4) * kUnit * std::fabs(g.v[i])) * kSecondOrder;
  }
  out[prefix + "gdn.g"] = g;
}

// The delta rule, one column of the state at a time. The map from one state to the next is exp(g)
// (I - beta k k^T), of norm at most 1, so the 2-norm of a column's error grows only by what each
// token's roundings add.
inline void StageReference::Maker::recurrence() {
  const model::Config& c = reference.c_;
  const auto dk = static_cast<size_t>(c.key_dim);
  const auto channels = static_cast<size_t>(c.conv_channels());
  const Approx u = fed("gdn.conv_silu"), g = fed("gdn.g"), beta = fed("gdn.beta");
  const Approx &q_l2 = out[prefix + "gdn.q_l2"], &k_l2 = out[prefix + "gdn.k_l2"];
  Approx core(static_cast<size_t>(kTokens * c.value_width()));
  Approx state(static_cast<size_t>(c.value_heads * c.key_dim * c.value_dim));
  const auto sum_steps = static_cast<double>(dk);
  const double scale = 1 / std::sqrt(static_cast<double>(dk));
  for (int64_t column = 0; column < c.value_width(); ++column) {
    const int64_t head = column / c.value_dim;
    std::vector<double> s(dk);
    double error = 0;  // 2-norm of the column's
    for (int64_t t = 0; t < kTokens; ++t) {
      const auto gate = static_cast<size_t>(t * c.value_heads + head);
      const auto key = static_cast<size_t>((t * c.key_heads + head % c.key_heads) * c.key_dim);
      const auto value =
          static_cast<size_t>(t) * channels + static_cast<size_t>(2 * c.key_width() + column);
      const double decay = std::exp(g.v[gate]), b = beta.v[gate];
      double norm = 0, read = 0, read_error = 0, key_error = 0;
      for (size_t i = 0; i < dk; ++i) {
        s[i] *= decay;
        norm += s[i] * s[i];
        read += s[i] * k_l2.v[key + i];
        read_error +=
            std::fabs(s[i]) * (sum_steps * kUnit * std::fabs(k_l2.v[key + i]) + k_l2.e[key + i]);
        key_error += k_l2.e[key + i] * k_l2.e[key + i];
      }
      error = decay * error + std::sqrt(norm) * ((kExp + 1) * kUnit + g.e[gate]);
      const double gap = u.v[value] - read, delta = b * gap;
      const double delta_error =
          beta.e[gate] * std::fabs(gap) + b * u.e[value] + 2 * kUnit * std::fabs(delta);
      norm = 0;
      double read_out = 0, out_error = 0, query_norm = 0;
      for (size_t i = 0; i < dk; ++i) {
        s[i] += k_l2.v[key + i] * delta;
        norm += s[i] * s[i];
        const double q = q_l2.v[key + i] * scale;
        const double q_error = q_l2.e[key + i] * scale + 2 * kUnit * std::fabs(q);
        read_out += s[i] * q;
        query_norm += q * q;
        out_error += std::fabs(s[i]) * (sum_steps * kUnit * std::fabs(q) + q_error);
      }
      error += b * read_error + delta_error + std::fabs(delta) * std::sqrt(key_error) +
               kUnit * std::sqrt(norm);
      const auto place = static_cast<size_t>(t * c.value_width() + column);
      core.v[place] = read_out;
      core.e[place] = (std::sqrt(query_norm) * error + out_error) * kSecondOrder;
    }
    for (size_t i = 0; i < dk; ++i) {
      const size_t place = (static_cast<size_t>(head) * dk + i) * static_cast<size_t>(c.value_dim) +
                           static_cast<size_t>(column % c.value_dim);
      state.v[place] = s[i];
      state.e[place] = error * kSecondOrder;
    }
  }
  out[prefix + "gdn.core_out"] = core;
  out[prefix + "gdn.final_state"] = state;
}

inline void StageReference::Maker::rope(const std::string& from, const std::string& to,
                                        int64_t heads) {
  const model::Config& c = reference.c_;
  const std::vector<double> cos = reference.golden(prefix + "attn.cos");
  const std::vector<double> sin = reference.golden(prefix + "attn.sin");
  const auto half = static_cast<size_t>(c.rope.dims / 2);
  int64_t index = 0;
  each(to, {fed(from)}, kTokens * heads, [&](const std::vector<Approx>& in) {
    const auto t = static_cast<size_t>(index++ / heads);
    Approx y = in[0];
    for (size_t i = 0; i < half; ++i) {
      const double cs = cos[t * 2 * half + i], sn = sin[t * 2 * half + i];
      // the reference takes its frequencies in float32: the angle differs by up to 2 roundings
      const double angle =
          static_cast<double>(t) *
          std::pow(c.rope.theta, -static_cast<double>(i) / static_cast<double>(half));
      const double turn = 2 * kUnit * angle + kUnit;
      const double a = in[0].v[i], b = in[0].v[i + half];
      const double ea = in[0].e[i], eb = in[0].e[i + half];
      const double reach = (std::fabs(a) + std::fabs(b)) * turn;
      y.v[i] = a * cs - b * sn;
      y.v[i + half] = b * cs + a * sn;
      y.e[i] = ea * std::fabs(cs) + eb * std::fabs(sn) + reach +
               kUnit * (std::fabs(a * cs) + std::fabs(y.v[i]));
      y.e[i + half] = eb * std::fabs(cs) + ea * std::fabs(sn) + reach +
                      kUnit * (std::fabs(b * cs) + std::fabs(y.v[i + half]));
    }
    return y;
  });
}

// Softmax attention of one query head over the rows up to its own.
inline Approx StageReference::Maker::attended(int64_t row, int64_t head, const Approx& q,
                                              const Approx& k, const Approx& v) const {
  const model::Config& c = reference.c_;
  const int64_t kv_head = head / (c.heads / c.kv_heads);
  const double scale = 1 / std::sqrt(static_cast<double>(c.head_dim));
  const auto length = static_cast<size_t>(row + 1);
  const auto dim = static_cast<size_t>(c.head_dim);
  Approx scores(length);
  for (size_t t = 0; t < length; ++t) {
    double magnitude = 0;
    for (size_t i = 0; i < dim; ++i) {
      const size_t at =
          t * static_cast<size_t>(c.kv_width()) + static_cast<size_t>(kv_head) * dim + i;
      scores.v[t] += q.v[i] * k.v[at] * scale;
      scores.e[t] += (q.e[i] * std::fabs(k.v[at]) + std::fabs(q.v[i]) * k.e[at]) * scale;
      magnitude += std::fabs(q.v[i] * k.v[at]) * scale;
    }
    scores.e[t] += lane_steps(dim) * kUnit * magnitude + 2 * kUnit * std::fabs(scores.v[t]);
  }
  const Approx p = softmax(scores);
  Approx y(dim);
  for (size_t i = 0; i < dim; ++i) {
    double magnitude = 0;
    for (size_t t = 0; t < length; ++t) {
      const size_t at =
          t * static_cast<size_t>(c.kv_width()) + static_cast<size_t>(kv_head) * dim + i;
      y.v[i] += p.v[t] * v.v[at];
      y.e[i] += p.e[t] * std::fabs(v.v[at]) + p.v[t] * v.e[at];
      magnitude += p.v[t] * std::fabs(v.v[at]);
    }
    y.e[i] = (y.e[i] + static_cast<double>(length) * kUnit * magnitude) * kSecondOrder;
  }
  return y;
}

inline void StageReference::Maker::attention() {
  const model::Config& c = reference.c_;
  const double eps = reference.eps_;
  const model::AttentionWeights& a = w.attention;
  const int64_t dim = c.head_dim;
  // q_proj's rows are [query, gate] per head
  each("attn.q_raw", {fed("input_layernorm")}, kTokens, [&](const std::vector<Approx>& in) {
    const Approx both = linear(a.q, in[0]);
    Approx y;
    for (int64_t h = 0; h < c.heads; ++h) y.append(both.part(2 * h * dim, dim));
    return y;
  });
  each("attn.gate_raw", {fed("input_layernorm")}, kTokens, [&](const std::vector<Approx>& in) {
    const Approx both = linear(a.q, in[0]);
    Approx y;
    for (int64_t h = 0; h < c.heads; ++h) y.append(both.part((2 * h + 1) * dim, dim));
    return y;
  });
  const auto project = [&](const char* name, const char* from, const model::Linear& weight) {
    each(name, {fed(from)}, kTokens,
         [&](const std::vector<Approx>& in) { return linear(weight, in[0]); });
  };
  project("attn.k_raw", "input_layernorm", a.k);
  project("attn.v", "input_layernorm", a.v);
  project("attn.o_proj", "attn.gated", a.output);
  each("attn.q_norm", {fed("attn.q_raw")}, kTokens * c.heads,
       [&](const std::vector<Approx>& in) { return rms_norm(in[0], a.q_norm, eps); });
  each("attn.k_norm", {fed("attn.k_raw")}, kTokens * c.kv_heads,
       [&](const std::vector<Approx>& in) { return rms_norm(in[0], a.k_norm, eps); });
  rope("attn.q_norm", "attn.q_rope", c.heads);
  rope("attn.k_norm", "attn.k_rope", c.kv_heads);
  const Approx k = fed("attn.k_rope"), v = fed("attn.v");
  int64_t index = 0;
  each("attn.attn_out_ungated", {fed("attn.q_rope")}, kTokens * c.heads,
       [&](const std::vector<Approx>& in) {
         const int64_t at = index++;
         return attended(at / c.heads, at % c.heads, in[0], k, v);
       });
  out[prefix + "attn.gated"] =
      multiply(fed("attn.attn_out_ungated"), sigmoid(fed("attn.gate_raw")));
}

inline void StageReference::Maker::experts() {
  const model::Config& c = reference.c_;
  const model::MoeWeights& m = w.moe;
  const auto used = static_cast<size_t>(c.experts_used);
  const std::vector<double> ids = reference.golden(prefix + "moe.topk_ids");
  const Approx weights = fed("moe.topk_weights");
  const auto run = [&](const model::Linear& gate, const model::Linear& up,
                       const model::Linear& down, int64_t expert, const Approx& x) {
    return linear(down, multiply(silu(linear(gate, x, expert)), linear(up, x, expert)), expert);
  };
  size_t entry = 0;
  Approx routed;
  each("moe.expert_out", {fed("post_attention_layernorm")}, kTokens,
       [&](const std::vector<Approx>& in) {
         Approx all, sum(static_cast<size_t>(c.hidden));
         for (size_t rank = 0; rank < used; ++rank, ++entry) {
           const Approx y = run(m.gate, m.up, m.down, static_cast<int64_t>(ids[entry]), in[0]);
           sum = add_scaled(sum, weights.v[entry], weights.e[entry], y);
           all.append(y);
         }
         routed.append(sum);
         return all;
       });
  out[prefix + "moe.routed_sum"] = routed;
  each("moe.shared_expert", {fed("post_attention_layernorm")}, kTokens,
       [&](const std::vector<Approx>& in) {
         return run(m.shared_gate, m.shared_up, m.shared_down, 0, in[0]);
       });
}

inline void StageReference::Maker::moe() {
  const auto project = [&](const char* name, const model::Linear& weight) {
    each(name, {fed("post_attention_layernorm")}, kTokens,
         [&](const std::vector<Approx>& in) { return linear(weight, in[0]); });
  };
  project("moe.router_logits", w.moe.router);
  project("moe.shared_gate_logit", w.moe.shared_router);
  Approx& ids = out[prefix + "moe.topk_ids"];  // exact: the goldens' margins exceed all noise
  ids.v = reference.golden(prefix + "moe.topk_ids");
  ids.e.assign(ids.v.size(), 0);
  const auto used = static_cast<size_t>(reference.c_.experts_used);
  size_t entry = 0;
  each("moe.topk_weights", {fed("moe.router_logits")}, kTokens, [&](const std::vector<Approx>& in) {
    Approx chosen;
    for (size_t rank = 0; rank < used; ++rank)
      chosen.append(in[0].part(static_cast<int64_t>(ids.v[entry++]), 1));
    return softmax(chosen);
  });
  experts();
  each("moe.out", {fed("moe.routed_sum"), fed("moe.shared_gate_logit"), fed("moe.shared_expert")},
       kTokens, [&](const std::vector<Approx>& in) {
         const Approx gate = sigmoid(in[1]);
         return add_scaled(in[0], gate.v[0], gate.e[0], in[2]);
       });
}

}  // namespace karat::golden
