#include "model/hf_names.h"

#include "base/text.h"
#include "model/names.h"

namespace karat::model {

namespace {

using tensor::Shape;

TensorRule same(std::string_view canonical, std::string_view hf, const Shape& shape) {
  return {canonical, hf, shape, shape};
}

TensorRule norm(std::string_view canonical, std::string_view hf, int64_t size) {
  TensorRule rule = same(canonical, hf, {size});
  rule.fold = Fold::add_one;
  return rule;
}

TensorRule headed(std::string_view canonical, std::string_view hf, const Shape& shape,
                  ValueHeads heads) {
  TensorRule rule = same(canonical, hf, shape);
  rule.heads = heads;
  return rule;
}

void add_delta_net(const Config& c, std::vector<TensorRule>& out) {
  const int64_t h = c.hidden, heads = c.value_heads, channels = c.conv_channels();
  TensorRule a = headed("ssm_a", "linear_attn.A_log", {heads}, ValueHeads::columns);
  a.fold = Fold::minus_exp;
  TensorRule conv = headed("ssm_conv1d.weight", "linear_attn.conv1d.weight",
                           {channels, c.conv_taps}, ValueHeads::rows_after_keys);
  conv.hf_shape = Shape{channels, 1, c.conv_taps};
  out.push_back(a);
  out.push_back(conv);
  out.push_back(headed("ssm_dt.bias", "linear_attn.dt_bias", {heads}, ValueHeads::columns));
  out.push_back(
      headed("ssm_alpha.weight", "linear_attn.in_proj_a.weight", {heads, h}, ValueHeads::rows));
  out.push_back(
      headed("ssm_beta.weight", "linear_attn.in_proj_b.weight", {heads, h}, ValueHeads::rows));
  out.push_back(headed("attn_qkv.weight", "linear_attn.in_proj_qkv.weight", {channels, h},
                       ValueHeads::rows_after_keys));
  out.push_back(headed("attn_gate.weight", "linear_attn.in_proj_z.weight", {c.value_width(), h},
                       ValueHeads::rows));
  out.push_back(same("ssm_norm.weight", "linear_attn.norm.weight", {c.value_dim}));
  out.push_back(headed("ssm_out.weight", "linear_attn.out_proj.weight", {h, c.value_width()},
                       ValueHeads::columns));
}

void add_experts(const Config& c, bool fuse_gate_up, std::vector<TensorRule>& out) {
  const int64_t e = c.experts, f = c.expert_ffn, h = c.hidden;
  const std::string_view gate_up = "mlp.experts.gate_up_proj";
  auto add = [&](std::string_view canonical, std::string_view hf, const Shape& shape,
                 const Shape& hf_shape, ExpertPart part) {
    out.push_back({canonical, hf, shape, hf_shape, Fold::none, ValueHeads::none, part});
  };
  add("ffn_down_exps.weight", "mlp.experts.down_proj", {e, h, f}, {e, h, f}, ExpertPart::down);
  if (fuse_gate_up) {
    add("ffn_gate_up_exps.weight", gate_up, {e, 2 * f, h}, {e, 2 * f, h}, ExpertPart::gate_up);
  } else {
    add("ffn_gate_exps.weight", gate_up, {e, f, h}, {e, 2 * f, h}, ExpertPart::gate);
    add("ffn_up_exps.weight", gate_up, {e, f, h}, {e, 2 * f, h}, ExpertPart::up);
  }
}

void add_attention(const Config& c, std::vector<TensorRule>& out) {
  const int64_t h = c.hidden;
  out.push_back(norm("attn_k_norm.weight", "self_attn.k_norm.weight", c.head_dim));
  out.push_back(same("attn_k.weight", "self_attn.k_proj.weight", {c.kv_width(), h}));
  out.push_back(same("attn_output.weight", "self_attn.o_proj.weight", {h, c.query_width()}));
  out.push_back(norm("attn_q_norm.weight", "self_attn.q_norm.weight", c.head_dim));
  out.push_back(same("attn_q.weight", "self_attn.q_proj.weight", {2 * c.query_width(), h}));
  out.push_back(same("attn_v.weight", "self_attn.v_proj.weight", {c.kv_width(), h}));
}

}  // namespace

std::vector<TensorRule> block_rules(const Config& c, Mixer mixer, bool fuse_gate_up) {
  const int64_t h = c.hidden, f = c.shared_ffn;
  std::vector<TensorRule> out;
  out.push_back(norm("attn_norm.weight", "input_layernorm.weight", h));
  if (mixer == Mixer::delta_net) add_delta_net(c, out);
  add_experts(c, fuse_gate_up, out);
  out.push_back(same("ffn_gate_inp.weight", "mlp.gate.weight", {c.experts, h}));
  out.push_back(same("ffn_down_shexp.weight", "mlp.shared_expert.down_proj.weight", {h, f}));
  out.push_back(same("ffn_gate_shexp.weight", "mlp.shared_expert.gate_proj.weight", {f, h}));
  out.push_back(same("ffn_up_shexp.weight", "mlp.shared_expert.up_proj.weight", {f, h}));
  out.push_back(same("ffn_gate_inp_shexp.weight", "mlp.shared_expert_gate.weight", {1, h}));
  out.push_back(norm("post_attention_norm.weight", "post_attention_layernorm.weight", h));
  if (mixer == Mixer::attention) add_attention(c, out);
  return out;
}

std::vector<TensorRule> mtp_rules_before(const Config& c) {
  return {same("nextn.eh_proj.weight", "fc.weight", {c.hidden, 2 * c.hidden})};
}

std::vector<TensorRule> mtp_rules_after(const Config& c) {
  return {norm("nextn.shared_head_norm.weight", "norm.weight", c.hidden),
          norm("nextn.enorm.weight", "pre_fc_norm_embedding.weight", c.hidden),
          norm("nextn.hnorm.weight", "pre_fc_norm_hidden.weight", c.hidden)};
}

TensorRule token_embd_rule(const Config& c) {
  return same(kTokenEmbd, "embed_tokens.weight", {c.vocab, c.hidden});
}
TensorRule output_norm_rule(const Config& c) { return norm(kOutputNorm, "norm.weight", c.hidden); }
TensorRule output_rule(const Config& c) {
  return same(kOutput, "lm_head.weight", {c.vocab, c.hidden});
}

std::vector<TensorRule> vision_block_rules(const Config& c) {
  const VisionConfig& v = *c.vision;
  const int64_t h = v.hidden, f = v.intermediate;
  return {same("attn_out.bias", "attn.proj.bias", {h}),
          same("attn_out.weight", "attn.proj.weight", {h, h}),
          same("attn_qkv.bias", "attn.qkv.bias", {3 * h}),
          same("attn_qkv.weight", "attn.qkv.weight", {3 * h, h}),
          same("ffn_up.bias", "mlp.linear_fc1.bias", {f}),
          same("ffn_up.weight", "mlp.linear_fc1.weight", {f, h}),
          same("ffn_down.bias", "mlp.linear_fc2.bias", {h}),
          same("ffn_down.weight", "mlp.linear_fc2.weight", {h, f}),
          same("ln1.bias", "norm1.bias", {h}),
          same("ln1.weight", "norm1.weight", {h}),
          same("ln2.bias", "norm2.bias", {h}),
          same("ln2.weight", "norm2.weight", {h})};
}

std::vector<TensorRule> vision_merger_rules(const Config& c) {
  const VisionConfig& v = *c.vision;
  const int64_t h = v.hidden, merged = h * v.merge * v.merge;
  return {same("mm.0.bias", "merger.linear_fc1.bias", {merged}),
          same("mm.0.weight", "merger.linear_fc1.weight", {merged, merged}),
          same("mm.2.bias", "merger.linear_fc2.bias", {v.out_hidden}),
          same("mm.2.weight", "merger.linear_fc2.weight", {v.out_hidden, merged}),
          same("v.post_ln.bias", "merger.norm.bias", {h}),
          same("v.post_ln.weight", "merger.norm.weight", {h})};
}

std::vector<TensorRule> vision_embedding_rules(const Config& c) {
  const VisionConfig& v = *c.vision;
  TensorRule patch = same("v.patch_embd.weight", "patch_embed.proj.weight",
                          {v.hidden, v.channels, v.patch, v.patch});
  patch.hf_shape = Shape{v.hidden, v.channels, v.temporal_patch, v.patch, v.patch};
  return {same("v.patch_embd.bias", "patch_embed.proj.bias", {v.hidden}), patch,
          same("v.position_embd.weight", "pos_embed.weight", {v.positions, v.hidden})};
}

bool always_f32(std::string_view canonical, const tensor::Shape& shape) {
  if (shape.rank() <= 1 || base::ends_with(canonical, "_norm.weight")) return true;
  for (const std::string_view name :
       {"ffn_gate_inp.weight", "ffn_gate_inp_shexp.weight", "ssm_conv1d.weight",
        "v.position_embd.weight", "v.patch_embd.weight", "v.patch_embd.weight.1"}) {
    if (base::ends_with(canonical, name)) return true;
  }
  return false;
}

bool is_quantization_companion(std::string_view hf_name) {
  for (const std::string_view suffix :
       {".weight_scale", ".weight_scale_inv", ".weight_scale_2", ".weight_global_scale",
        ".weight_zero_point", ".input_scale", ".input_global_scale", ".weight_packed",
        ".weight_shape", ".qweight", ".qzeros", ".g_idx", ".scales", ".absmax", ".quant_map",
        ".SCB", "_scale_inv", "_blocks"}) {
    if (base::ends_with(hf_name, suffix)) return true;
  }
  return false;
}

}  // namespace karat::model
