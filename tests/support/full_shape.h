// Qwen3.6-35B-A3B as a table of tensors without data, for what is counted from shapes alone.
#pragma once

#include <cstdint>
#include <string>

#include "model/config.h"
#include "model/names.h"
#include "support/memory_source.h"

namespace karat::test {

// Qwen3.6-35B-A3B's canonical tensors (MODEL.md section 6.2), shapes only.
struct Full {
  Full() = default;
  explicit Full(bool with_mtp, int64_t experts = 256);
  MemorySource source;
  model::Config config;
};

inline void add_moe(MemorySource& s, int64_t n, int64_t experts) {
  s.add(model::block_name(n, "ffn_gate_inp.weight"), tensor::DType::f32, {experts, 2048});
  s.add(model::block_name(n, "ffn_gate_exps.weight"), tensor::DType::bf16, {experts, 512, 2048});
  s.add(model::block_name(n, "ffn_up_exps.weight"), tensor::DType::bf16, {experts, 512, 2048});
  s.add(model::block_name(n, "ffn_down_exps.weight"), tensor::DType::bf16, {experts, 2048, 512});
  s.add(model::block_name(n, "ffn_gate_inp_shexp.weight"), tensor::DType::f32, {1, 2048});
  s.add(model::block_name(n, "ffn_gate_shexp.weight"), tensor::DType::bf16, {512, 2048});
  s.add(model::block_name(n, "ffn_up_shexp.weight"), tensor::DType::bf16, {512, 2048});
  s.add(model::block_name(n, "ffn_down_shexp.weight"), tensor::DType::bf16, {2048, 512});
  s.add(model::block_name(n, "attn_norm.weight"), tensor::DType::f32, {2048});
  s.add(model::block_name(n, "post_attention_norm.weight"), tensor::DType::f32, {2048});
}

inline void add_attention(MemorySource& s, int64_t n) {
  s.add(model::block_name(n, "attn_q.weight"), tensor::DType::bf16, {8192, 2048});
  s.add(model::block_name(n, "attn_k.weight"), tensor::DType::bf16, {512, 2048});
  s.add(model::block_name(n, "attn_v.weight"), tensor::DType::bf16, {512, 2048});
  s.add(model::block_name(n, "attn_output.weight"), tensor::DType::bf16, {2048, 4096});
  s.add(model::block_name(n, "attn_q_norm.weight"), tensor::DType::f32, {256});
  s.add(model::block_name(n, "attn_k_norm.weight"), tensor::DType::f32, {256});
}

inline void add_delta_net(MemorySource& s, int64_t n) {
  s.add(model::block_name(n, "attn_qkv.weight"), tensor::DType::bf16, {8192, 2048});
  s.add(model::block_name(n, "attn_gate.weight"), tensor::DType::bf16, {4096, 2048});
  s.add(model::block_name(n, "ssm_beta.weight"), tensor::DType::bf16, {32, 2048});
  s.add(model::block_name(n, "ssm_alpha.weight"), tensor::DType::bf16, {32, 2048});
  s.add(model::block_name(n, "ssm_conv1d.weight"), tensor::DType::f32, {8192, 4});
  s.add(model::block_name(n, "ssm_a"), tensor::DType::f32, {32});
  s.add(model::block_name(n, "ssm_dt.bias"), tensor::DType::f32, {32});
  s.add(model::block_name(n, "ssm_norm.weight"), tensor::DType::f32, {128});
  s.add(model::block_name(n, "ssm_out.weight"), tensor::DType::bf16, {2048, 4096});
}

inline Full::Full(bool with_mtp, int64_t experts) {
  MemorySource& s = source;
  s.add("output.weight", tensor::DType::bf16, {248320, 2048});
  s.add("token_embd.weight", tensor::DType::bf16, {248320, 2048});
  s.add("output_norm.weight", tensor::DType::f32, {2048});
  for (int64_t n = 0; n < 40; ++n) {
    config.mixers.push_back((n + 1) % 4 == 0 ? model::Mixer::attention : model::Mixer::delta_net);
    if ((n + 1) % 4 == 0) {
      add_attention(s, n);
    } else {
      add_delta_net(s, n);
    }
    add_moe(s, n, experts);
  }
  if (with_mtp) {
    add_attention(s, 40);
    add_moe(s, 40, experts);
    s.add("blk.40.nextn.eh_proj.weight", tensor::DType::bf16, {2048, 4096});
    for (const char* norm : {"enorm", "hnorm", "shared_head_norm"}) {
      s.add(model::block_name(40, "nextn." + std::string(norm) + ".weight"), tensor::DType::f32,
            {2048});
    }
  }
  config.mtp_layers = with_mtp ? 1 : 0;
  config.experts = experts;
  config.heads = 16;
  config.kv_heads = 2;
  config.hidden = 2048, config.vocab = 248320, config.context_max = 262144;
  config.experts_used = 8, config.expert_ffn = config.shared_ffn = 512;
  config.head_dim = 256;
  config.key_heads = 16, config.value_heads = 32, config.key_dim = config.value_dim = 128;
}

}  // namespace karat::test
