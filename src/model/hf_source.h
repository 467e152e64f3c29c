// A Hugging Face checkpoint as canonical tensors, computed while they are read.
#pragma once

#include <memory>
#include <string_view>

#include "model/config.h"
#include "tensor/source.h"

namespace karat::model {

enum class GateUp { split, fused };  // ffn_gate_exps and ffn_up_exps, or ffn_gate_up_exps

struct HfOptions {
  GateUp gate_up = GateUp::split;
};

// The language model, in the reference converter's order: output, embedding, blocks, norm, MTP
// block. `raw` has the checkpoint's own tensors (format::SafetensorsSource, or any other
// TensorSource); its names may be any of MODEL.md section 2.4, experts fused or split. Matrices
// keep their stored type; what MODEL.md section 6.4 says is F32 is presented as F32. Each read
// moves only the rows it asks for, with at most 64 KiB of scratch.
//
// `config` becomes what is really there: mtp_layers is set to 0, with a warning, if no MTP tensors
// exist. Errors name `where` and the tensor: {bad_input} for a missing tensor, a shape that
// contradicts the configuration, or layers or experts beyond it; {unsupported} for weights that are
// already quantized or not F32, F16 or BF16. Other tensors that nothing asks for are left out with
// one warning.
std::unique_ptr<tensor::TensorSource> make_hf_source(
    std::shared_ptr<const tensor::TensorSource> raw, Config& config, std::string_view where,
    const HfOptions& options = {});

// The vision tower under the names of an mmproj file (MODEL.md section 6.8). Error{bad_input} if
// the configuration has none or tensors are missing; {unsupported} unless patches are two frames
// deep.
std::unique_ptr<tensor::TensorSource> make_vision_source(
    std::shared_ptr<const tensor::TensorSource> raw, const Config& config, std::string_view where);

}  // namespace karat::model
