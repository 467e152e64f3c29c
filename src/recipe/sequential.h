// Encoding with the full Hessians of the layers' inputs, block after block: each block's Hessians
// are of what enters it in the model whose earlier blocks are quantized already (as GPTQ does), so
// that it makes up for their errors where it can.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/threads.h"
#include "calib/corpus.h"
#include "calib/stream_checkpoint.h"
#include "exec/stream.h"
#include "export/checkpoint.h"
#include "format/gguf_writer.h"
#include "model/config.h"
#include "recipe/quantize.h"
#include "tensor/source.h"
#include "tensor/statistics.h"

namespace karat::recipe {

// What the encoders need besides a plan. All of it must outlive the run.
struct HessianInputs {
  const model::Config& config;
  const calib::Corpus& corpus;  // calibration tokens
  int64_t batch_tokens = exec::StreamOptions{}.batch_tokens;
};

// Tensors of the plan (indices into it) that encode_blocks() writes: the quantized ones of blocks.
std::vector<size_t> hessian_tensors(const tensor::TensorSource& source, const QuantizePlan& plan);

// The stages that encode_blocks() goes through, and what it holds at its peak.
int64_t hessian_stages(const model::Config& config);
uint64_t hessian_memory(const tensor::TensorSource& source, const QuantizePlan& plan,
                        const HessianInputs& inputs);

// Where a run that was stopped goes on: after each block the writer's bytes are synced, then
// `journal` counts its stage, then `rows` keeps what enters the next.
struct HessianProgress {
  exporting::Checkpoint& journal;
  calib::StreamCheckpoint& rows;
  bool force = false;
};

// Writes the hessian_tensors(). `progress` may be null. Error{bad_input} naming tensor, row and
// column for values that do not fit; errors as exec::LayerStream's.
void encode_blocks(const tensor::TensorSource& source, const QuantizePlan& plan,
                   const tensor::Importance* importance, const HessianInputs& inputs,
                   format::GgufWriter& writer, HessianProgress* progress, base::ThreadPool& pool);

}  // namespace karat::recipe
