// Which model something was computed with.
#pragma once

#include <string>

#include "model/config.h"
#include "tensor/source.h"

namespace karat::model {

// SHA-256 over what the rows after the final norm depend on: the configuration, and of every tensor
// of the trunk its name, type, shape and first, middle and last row. The same for a file that was
// moved; output.weight and MTP blocks do not count. Reads three rows a tensor. Errors as reading.
std::string trunk_identity(const tensor::TensorSource& source, const Config& config);

}  // namespace karat::model
