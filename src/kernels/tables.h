// What dispatch.cc and the instruction sets' files know of each other.
#pragma once

#include "kernels/table.h"

namespace karat::kernels {

extern const KernelTable scalar_table;
extern const KernelTable avx2_table;
extern const KernelTable avx512_table;
// avx512_table with the products that AVX512_BF16 has instructions for.
const KernelTable& avx512_bf16_table();

// KernelTable::decode for the types without a kernel: through codec/, on the baseline instructions.
void decode_by_codec(tensor::DType type, const std::byte* blocks, int64_t n, float* out) noexcept;

}  // namespace karat::kernels
