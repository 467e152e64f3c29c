// Rounding of the rows that enter a product: what a backend with narrower arithmetic would see.
#pragma once

#include <cstdint>
#include <string_view>

#include "kernels/table.h"
#include "model/forward.h"
#include "tensor/dtype.h"

namespace karat::model {

// q8_0: blocks of 32, scale max|x| / 127 rounded to f16; q8_k: blocks of 256, scale x_max / -127 in
// f32 where x_max is the element of largest magnitude with its sign. Both round to nearest even, as
// ggml's x86 code does; its dot products use exactly these values. q8: blocks of 32, the last one
// perhaps shorter, with the scale max|x| / 127 in f32 (kernels/packed.h). pairs: bf16, to be
// multiplied by KernelTable::gemm_bf16_pairs.
enum class Rounding { none, bf16, f16, q8_0, q8_k, q8, pairs };

// "f32", "bf16", "stock", "q8" or "q8_rows".
std::string_view activations_name(Activations activations);

// How inputs of a float product with a weight of this type are rounded.
Rounding rounding_for(Activations activations, tensor::DType weight);
// How weights have to lie for these activations.
Layout layout_for(Activations activations);
// How queries, keys and values are rounded before attention.
Rounding rounding_for_cache(Activations activations);

// out = the n values of x after rounding, for `pairs` as bf16 in half the space; out may be x. n is
// a multiple of the rounding's block, but for q8.
void round_row(Rounding rounding, const kernels::KernelTable& kernels, const float* x, int64_t n,
               float* out);

}  // namespace karat::model
