// Hugging Face tensor names and how each tensor becomes the canonical one: the table of MODEL.md
// section 6, as data. The order within a block is the reference converter's (HF names, sorted).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "model/config.h"
#include "tensor/shape.h"

namespace karat::model {

// How values change; always in float32.
enum class Fold { none, add_one, minus_exp };

// Where the value heads of gated DeltaNet lie in a tensor; they are stored grouped by key head in
// checkpoints and tiled in GGUF (MODEL.md section 6.3).
enum class ValueHeads { none, rows, rows_after_keys, columns };

// Which expert matrices a tensor is made of: checkpoints store gate and up fused and stacked over
// the experts, or every matrix of every expert by itself.
enum class ExpertPart { none, down, gate, up, gate_up };

// One tensor: its canonical name behind "blk.N." and its HF name behind "layers.N.", or both in
// full for tensors outside the blocks (the HF name then behind the text, MTP or vision prefix).
struct TensorRule {
  std::string_view canonical, hf;
  tensor::Shape shape;     // canonical
  tensor::Shape hf_shape;  // as stored in the checkpoint
  Fold fold = Fold::none;
  ValueHeads heads = ValueHeads::none;
  ExpertPart experts = ExpertPart::none;
};

// The tensors of one trunk or MTP block. `fuse_gate_up`: ffn_gate_up_exps instead of gate and up.
std::vector<TensorRule> block_rules(const Config& config, Mixer mixer, bool fuse_gate_up);
// The MTP block's own tensors, in two parts: before and after the block's; HF names behind "mtp.".
std::vector<TensorRule> mtp_rules_before(const Config& config);
std::vector<TensorRule> mtp_rules_after(const Config& config);

TensorRule token_embd_rule(const Config& config);   // HF name behind the text prefix
TensorRule output_norm_rule(const Config& config);  // the same
TensorRule output_rule(const Config& config);       // HF name in full

// The vision tower for an mmproj file (MODEL.md section 6.8), without the patch embedding's weight:
// names in full, HF names behind the vision prefix. config.vision must be set.
std::vector<TensorRule> vision_block_rules(
    const Config& config);  // behind "blocks.N." / "v.blk.N."
std::vector<TensorRule> vision_merger_rules(const Config& config);
std::vector<TensorRule> vision_embedding_rules(const Config& config);

// Whether the canonical form of a tensor is float32 whatever the checkpoint's type (MODEL.md
// section 6.4): vectors, norms, routers, convolution, position and patch embeddings.
bool always_f32(std::string_view canonical, const tensor::Shape& shape);

inline constexpr std::string_view kTextPrefixes[] = {"model.language_model.", "model."};
inline constexpr std::string_view kMtpPrefixes[] = {"mtp.", "model.mtp."};
inline constexpr std::string_view kVisionPrefixes[] = {"model.visual.", "visual."};

// True for the companions of packed weights that FP8, NVFP4, GPTQ, AWQ, bitsandbytes and
// compressed-tensors checkpoints have ("...weight_scale_inv", "...qweight", ...).
bool is_quantization_companion(std::string_view hf_name);

}  // namespace karat::model
