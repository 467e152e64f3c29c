// Weights bound to names: plain structs of views. Whoever makes them (resident or streamed) owns
// the bytes; the forward pass only sees these views.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/arena.h"
#include "base/threads.h"
#include "kernels/packed.h"
#include "model/config.h"
#include "tensor/source.h"

namespace karat::model {

// How a matrix lies in memory. rows: as stored. panels: for the integer product (kernels/packed.h),
// only for types with an integer form; its inputs are quantized (Activations::q8).
enum class Layout { rows, panels };

// A matrix [rows, cols] in its stored type, or a stack of `experts` such matrices.
struct Linear {
  std::string name;  // canonical, e.g. "blk.0.attn_qkv.weight"
  tensor::DType dtype = tensor::DType::f32;
  const std::byte* data = nullptr;
  int64_t rows = 0, cols = 0, experts = 1;
  Layout layout = Layout::rows;
  // Of a stack whose matrices come and go (ExpertStore): where each is, null while it is not here.
  const std::byte* const* places = nullptr;
  int64_t row_bytes() const { return tensor::row_bytes(dtype, cols); }  // as stored
  int64_t expert_bytes() const {
    return layout == Layout::rows ? rows * row_bytes() : kernels::packed_bytes(dtype, rows, cols);
  }
  const std::byte* expert(int64_t e) const {
    return places != nullptr ? places[e] : data + e * expert_bytes();
  }
  // Rows from `row` on of a matrix in panels; row is the first of a group.
  const std::byte* panels_at(int64_t e, int64_t row) const {
    return expert(e) + kernels::packed_bytes(dtype, row, cols);
  }
  explicit operator bool() const { return data != nullptr || places != nullptr; }  // false: absent
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

// Who holds experts that do not all fit into memory.
class ExpertStore {
 public:
  virtual ~ExpertStore() = default;
  // Brings these experts' matrices of a block to their places, where they stay until the next call.
  // `experts` rise. Errors as reading.
  virtual void require(int64_t layer, std::span<const int32_t> experts) = 0;
};

struct MoeWeights {
  Linear router;    // [experts, H]
  Linear gate, up;  // [experts][expert_ffn, H]
  Linear down;      // [experts][H, expert_ffn]
  Linear gate_up;   // fused form [experts][2*expert_ffn, H], gate first; then gate, up absent
  Linear shared_gate, shared_up, shared_down;
  Linear shared_router;          // [1, H]
  ExpertStore* store = nullptr;  // null: gate, up, down and gate_up are all here
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
  Linear output;       // [vocab, H]; without an output matrix in the source the embedding's view,
                       // or its packed copy: embeddings are looked up by rows
  Vector output_norm;  // [H], +1 folded
};

// Owns the bytes that the views of one binding point to, and says how matrices are to lie there:
// with Layout::panels those whose type has an integer form are packed while they are read, a few
// rows at a time, by the pool's threads if there is one.
class WeightBytes {
 public:
  explicit WeightBytes(Layout layout = Layout::rows, base::ThreadPool* pool = nullptr)
      : layout_(layout), pool_(pool) {}

  Layout layout_for(tensor::DType type) const;
  base::ThreadPool* pool() const { return pool_; }
  std::byte* allocate(size_t size) { return arena_.allocate(size); }
  // For the next binding in the same memory; the views of the last one are void.
  void clear() { arena_.clear(); }
  // Whether stacks of experts are bound without their bytes, for an ExpertStore to bring.
  void leave_experts() { leaves_experts_ = true; }
  bool leaves_experts() const { return leaves_experts_; }

 private:
  Layout layout_;
  base::ThreadPool* pool_;
  bool leaves_experts_ = false;
  base::Arena arena_;
};

// Reads and checks one block, the head or the MTP block from a source of canonical tensors. Errors:
// {bad_input} naming the tensor if one is missing or its shape contradicts `config`.
BlockWeights bind_block(const tensor::TensorSource& source, const Config& config, int64_t layer,
                        WeightBytes& bytes);
HeadWeights bind_head(const tensor::TensorSource& source, const Config& config, WeightBytes& bytes);
// Parts of the head, for who does not hold all of it: [vocab, H], the embedding's if there is no
// output matrix, and [H], +1 folded.
Linear bind_output(const tensor::TensorSource& source, const Config& config, WeightBytes& bytes);
// What bind_output refuses, without reading the matrix.
void require_output(const tensor::TensorSource& source, const Config& config);
Vector bind_output_norm(const tensor::TensorSource& source, const Config& config);
MtpWeights bind_mtp(const tensor::TensorSource& source, const Config& config, WeightBytes& bytes);

// Reads matrix `expert` of w's tensor in w's layout: out has w.expert_bytes() bytes.
void read_matrix(const tensor::TensorSource& source, const Linear& w, int64_t expert,
                 std::byte* out);

}  // namespace karat::model
