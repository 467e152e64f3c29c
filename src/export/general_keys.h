// The general.* part of the metadata: architecture, sampling advice, name, size, licence.
#pragma once

#include <string>
#include <vector>

#include "format/metadata.h"
#include "tensor/source.h"

namespace karat::exporting {

// Appends general.architecture to general.languages, from the folder's name, config.json,
// generation_config.json and README.md. Error{bad_input} naming file and key for malformed JSON.
void append_general_keys(const std::string& folder, const std::string& architecture,
                         const std::string& type, const std::vector<tensor::TensorInfo>& tensors,
                         format::Metadata& metadata);

// "8x257K" for mixtures of experts (parameters with one expert each), "93K" otherwise.
std::string size_label(const std::vector<tensor::TensorInfo>& tensors);

}  // namespace karat::exporting
