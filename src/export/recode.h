// Tensors from a source into a GGUF file, a piece of rows at a time, in other types.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "base/threads.h"
#include "export/checkpoint.h"
#include "format/gguf_writer.h"
#include "tensor/source.h"

namespace karat::exporting {

// Turns consecutive rows of tensor `tensor` (an index into the writer's list), all of one expert
// and starting at row `row_begin`, into bytes of the writer's type. Called from several threads.
using RowEncoder = std::function<void(size_t tensor, int64_t row_begin,
                                      std::span<const float> values, std::span<std::byte> out)>;

struct RecodeOptions {
  std::string stage;                 // names the progress
  Checkpoint* checkpoint = nullptr;  // pieces done earlier are left out; later ones are noted
  // Tensors (indices into the writer's list) that the caller writes, and how many units of the
  // checkpoint are the caller's: they come before the pieces.
  std::vector<size_t> left_out = {};
  uint64_t units_before = 0;
  // Called after every piece, from any thread, with the share of the input's bytes that is done.
  std::function<void(double share)> alongside = {};
};

// Writes writer.tensors()[i] = from[i] in the writer's type, for every i; `from` are tensors of
// `source` with the writer's shapes, of types that have a codec. Rows whose type stays are copied.
// Goes through the source in its order, parallel over pieces of about 1 MiB of f32 (or one row), so
// memory is a few MiB per thread; the bytes do not depend on the threads. Reads ahead, reports
// progress, stops when interrupted, with a checkpoint after saving it.
// Before the first byte, where F16 is to be written, the values are searched for such as F16 cannot
// hold: Error{gate} with their number. Error{bad_input} naming tensor, row and column for values,
// copied ones too, that are not finite or do not fit the type.
void recode(const tensor::TensorSource& source, const std::vector<const tensor::TensorInfo*>& from,
            format::GgufWriter& writer, base::ThreadPool& pool, const RecodeOptions& options,
            const RowEncoder& encode);

// The reference converter's rounding, without a search: nearest value, plain Q8_0.
RowEncoder plain_encoder(const format::GgufWriter& writer);

// Bytes that recode() holds at a time for each thread.
uint64_t recode_memory(const std::vector<const tensor::TensorInfo*>& from,
                       const std::vector<tensor::TensorInfo>& to);

}  // namespace karat::exporting
