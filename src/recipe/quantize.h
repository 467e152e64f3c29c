// Quantization of a whole model: a table of decisions, then one streaming pass that executes it.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/threads.h"
#include "export/checkpoint.h"
#include "format/gguf_writer.h"
#include "format/metadata.h"
#include "recipe/mixture.h"
#include "tensor/source.h"
#include "tensor/statistics.h"

namespace karat::recipe {

struct TensorPlan {
  size_t source_index = 0;  // into the source's tensors()
  tensor::TensorInfo out;   // name, new type, shape
  tensor::DType from = tensor::DType::f32;
  const char* decided_by = "";
  bool weighted = false;          // an importance entry covers it
  bool requires_imatrix = false;  // useless without
  int64_t cold_experts = 0;  // experts without a row in the statistics (their weights: see run)
};

struct QuantizePlan {
  Preset preset = {};
  std::vector<TensorPlan> tensors;     // in the order of the file
  std::vector<std::string> uncovered;  // quantized tensors without importance, if one was given
  uint64_t data_bytes = 0;             // sum of the tensors' bytes
  int64_t elements = 0;
  double bits_per_weight() const;
};

// Decides types, reads no weights. Errors: as decide_types, and {bad_input} if the importance is of
// another model (unknown names or other widths). Entries of token_embd.weight with other widths
// are ignored, as llama-quantize does.
QuantizePlan plan_quantize(const tensor::TensorSource& source, const model::Config& config,
                           const Preset& preset, const MixtureOptions& options,
                           const tensor::Importance* importance);

// The same for types that are decided, one decision per tensor in the order of the file.
QuantizePlan plan_quantize(const tensor::TensorSource& source, const Preset& preset,
                           const std::vector<TypeDecision>& decisions,
                           const tensor::Importance* importance);

// Why the plan cannot be run, if it cannot: {usage} if a tensor is already quantized and not
// `allow_requantize`, or if a type needs statistics and there are none for the tensor;
// {unsupported} naming a tensor whose type has no codec. --dry-run only warns of it.
std::optional<base::Error> obstacle(const tensor::TensorSource& source, const QuantizePlan& plan,
                                    bool allow_requantize);

// The metadata of the output: the input's, then general.quantization_version and general.file_type,
// then `extra`, in the order llama-quantize writes them.
format::Metadata quantized_metadata(format::Metadata input, const Preset& preset,
                                    const format::Metadata& extra);

struct HessianInputs;

// How a plan is executed, and what else the file gets.
struct QuantizeRun {
  std::string out;
  format::Metadata metadata = {};
  // Tensors of each file, for several; else one (format::GgufWriteOptions).
  std::vector<size_t> shard_tensors = {};
  // What determines the bytes, plan and metadata included. With it, a run that was killed or ran
  // out of disk leaves its partial file, and goes on there when run again; empty: nothing is left.
  exporting::Fingerprint fingerprint = {};
  bool force = false;  // another command's partial file is begun anew
  // If set, the blocks' tensors are encoded with full Hessians (recipe/sequential.h).
  const HessianInputs* hessians = nullptr;
  // As RecodeOptions::alongside.
  std::function<void(double share)> alongside = {};
  // Metadata of the same size with values known only when all tensors are written; may be empty.
  std::function<format::Metadata()> final_metadata = {};
  // Called when nothing is left but renaming the files, with their present paths; if it throws,
  // what is left is what a failure leaves.
  std::function<void(const std::vector<std::string>&)> before_commit = {};
};

// Executes the plan (exporting::recode: streaming, parallel, bounded memory). The bytes written
// do not depend on the number of threads, or on interruptions. An expert without statistics is
// weighted by the mean over its layer's other experts. Errors as recode's.
void run_quantize(const tensor::TensorSource& source, const QuantizePlan& plan,
                  const tensor::Importance* importance, const QuantizeRun& run,
                  base::ThreadPool& pool);

// What run_quantize() holds at a time, the importance included.
uint64_t quantize_memory(const tensor::TensorSource& source, const QuantizePlan& plan,
                         const tensor::Importance* importance, int threads);

// The files that run_quantize() will write.
format::GgufLayout quantized_layout(const QuantizePlan& plan, const format::Metadata& metadata,
                                    const std::vector<size_t>& shard_tensors = {});

}  // namespace karat::recipe
