// Tensors from a source into a GGUF file, row by row in another plain type.
#pragma once

#include <string>
#include <vector>

#include "base/threads.h"
#include "format/gguf_writer.h"
#include "tensor/source.h"

namespace karat::exporting {

// Writes writer.tensors()[i] = from[i] in the writer's type, for every i; `from` are tensors of
// `source` with the writer's shapes. The types are F32, F16 and BF16 on the source's side, and also
// Q8_0 (plain rounding) on the writer's. Parallel over pieces of at most 4 MiB of f32 (or one row),
// so memory is about 10 MiB per thread; the bytes do not depend on the threads. Reports progress
// under `stage`, stops when interrupted. Error{bad_input} naming tensor and element for values that
// are not finite or do not fit the type.
void recode(const tensor::TensorSource& source, const std::vector<const tensor::TensorInfo*>& from,
            format::GgufWriter& writer, base::ThreadPool& pool, const std::string& stage);

// Bytes that recode() holds at a time for each thread.
uint64_t recode_memory(const std::vector<const tensor::TensorInfo*>& from,
                       const std::vector<tensor::TensorInfo>& to);

}  // namespace karat::exporting
