// The metadata of GGUF files made from checkpoints: keys, types, values and order of the reference
// converter (MODEL.md sections 6.1, 6.8 and 7.4).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "format/metadata.h"
#include "model/open.h"
#include "tensor/source.h"

namespace karat::exporting {

// Values of general.file_type (llama_ftype of llama.cpp).
enum class FileType : uint32_t { all_f32 = 0, mostly_f16 = 1, mostly_q8_0 = 7, mostly_bf16 = 32 };

// Of a language model opened from an HF folder; `tensors` are those that will be written (their
// number decides general.size_label). MTP keys are there if model.config.mtp_layers is 1.
// Error{bad_input} if the folder has no tokenizer or a file of it is malformed.
format::Metadata text_metadata(const model::OpenedModel& model,
                               const std::vector<tensor::TensorInfo>& tensors, FileType type);

// Of a vision (mmproj) file. Reads preprocessor_config.json or processor_config.json for the
// normalization; Error{bad_input} if they are malformed.
format::Metadata vision_metadata(const model::OpenedModel& model,
                                 const std::vector<tensor::TensorInfo>& tensors, FileType type);

}  // namespace karat::exporting
