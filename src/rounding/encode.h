// Matrices into a format with the full Hessian of their inputs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/threads.h"
#include "codec/codec.h"
#include "rounding/quadratic.h"

namespace karat::rounding {

// Encodes rows [count, quadratic.columns] into out: error feedback, then coordinate descent.
// Parallel over rows; the bytes do not depend on the threads. Values must be finite and fit the
// format.
void encode_rows(const codec::Codec& codec, const Quadratic& quadratic, std::span<const float> rows,
                 std::span<std::byte> out, base::ThreadPool& pool);

// The sum over rows of e H e^T, e being the rows less what `bytes` decode to; hessian: [n, n].
double output_error(const codec::Codec& codec, std::span<const float> hessian, int64_t columns,
                    std::span<const float> rows, std::span<const std::byte> bytes,
                    base::ThreadPool& pool);

}  // namespace karat::rounding
