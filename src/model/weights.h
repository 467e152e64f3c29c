// Weights bound to names: plain structs of views. Whoever makes them (resident or streamed) owns
// the bytes; the forward pass only sees these views.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "model/config.h"
#include "tensor/source.h"

namespace karat::model {

// A matrix [rows, cols] in its stored type, or a stack of `experts` such matrices.
struct Linear {
  std::string name;  // canonical, e.g. "blk.0.attn_qkv.weight"
  tensor::DType dtype = tensor::DType::f32;
  const std::byte* data = nullptr;  // null: absent
  int64_t rows = 0, cols = 0, experts = 1;
  int64_t row_bytes() const { return tensor::row_bytes(dtype, cols); }
  const std::byte* expert(int64_t e) const { return data + e * rows * row_bytes(); }
  explicit operator bool() const { return data != nullptr; }
};

// A vector or small table always held as float32.
using Vector = std::vector<float>;

struct AttentionWeights {
  Linear q;               // [heads*2*head_dim, H]: per head query then gate
  Linear k, v;            // [kv_heads*head_dim, H]
  Linear output;          // [H, heads*head_dim]
  Vector q_norm, k_norm;  // [head_dim], +1 folded
};

struct DeltaWeights {
  Linear qkv;          // [2*key_width + value_width, H], V heads tiled
  Linear gate;         // z: [value_width, H]
  Linear alpha, beta;  // a, b: [value_heads, H]
  Linear out;          // [H, value_width]
  Vector conv;         // [conv_channels, taps]
  Vector a;            // [value_heads]: -exp(A_log)
  Vector dt;           // [value_heads]
  Vector norm;         // [value_dim], not zero-centred
};

struct MoeWeights {
  Linear router;    // [experts, H]
  Linear gate, up;  // [experts][expert_ffn, H]
  Linear down;      // [experts][H, expert_ffn]
  Linear gate_up;   // fused form [experts][2*expert_ffn, H], gate first; then gate, up absent
  Linear shared_gate, shared_up, shared_down;
  Linear shared_router;  // [1, H]
};

struct BlockWeights {
  int64_t layer = 0;
  Mixer mixer = Mixer::attention;
  Vector attn_norm, post_attention_norm;  // [H], +1 folded
  AttentionWeights attention;
  DeltaWeights delta;
  MoeWeights moe;
};

struct MtpWeights {
  Linear eh_proj;                  // [H, 2H]: embedding half first
  Vector enorm, hnorm, head_norm;  // [H], +1 folded
  BlockWeights block;
};

struct HeadWeights {
  Linear token_embd;   // [vocab, H]
  Linear output;       // [vocab, H]; the embedding's view if the source has no output matrix
  Vector output_norm;  // [H], +1 folded
};

// Owns the bytes that the views of one binding point to.
using WeightBytes = std::vector<std::unique_ptr<std::byte[]>>;

// Reads and checks one block, the head or the MTP block from a source of canonical tensors. Errors:
// {bad_input} naming the tensor if one is missing or its shape contradicts `config`.
BlockWeights bind_block(const tensor::TensorSource& source, const Config& config, int64_t layer,
                        WeightBytes& bytes);
HeadWeights bind_head(const tensor::TensorSource& source, const Config& config, WeightBytes& bytes);
// Parts of the head, for who does not hold all of it: [vocab, H], the embedding's if there is no
// output matrix, and [H], +1 folded.
Linear bind_output(const tensor::TensorSource& source, const Config& config, WeightBytes& bytes);
Vector bind_output_norm(const tensor::TensorSource& source, const Config& config);
MtpWeights bind_mtp(const tensor::TensorSource& source, const Config& config, WeightBytes& bytes);

}  // namespace karat::model
