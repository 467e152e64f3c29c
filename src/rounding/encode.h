// Matrices into a format with the full Hessian of their inputs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/threads.h"
#include "codec/codec.h"
#include "rounding/quadratic.h"

namespace karat::rounding {

// Errors of the output, e H e^T summed over rows.
struct OutputError {
  double plain = 0;  // of codec.encode_row with the importance
  double full = 0;   // of what was written
};

// Encodes rows [count, quadratic.columns] into out. No row's e H e^T is larger than that of the
// format's own search (encode_row with `importance`), which is kept where it is better. Parallel
// over rows; the bytes do not depend on the threads. Error{bad_input} as encode_row's, with the row
// first.
OutputError encode_rows(const codec::Codec& codec, const Quadratic& quadratic,
                        std::span<const float> rows, std::span<const float> importance,
                        std::span<std::byte> out, base::ThreadPool& pool);

}  // namespace karat::rounding
