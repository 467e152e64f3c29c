// Every kernel, in order of use: included once per instruction set, after its vocabulary, inside
// its namespace. Ends with the table.
// clang-format off
#include "kernels/pieces.inl.h"
#include "kernels/math.inl.h"
#include "kernels/elementwise.inl.h"
#include "kernels/moments.inl.h"
#include "kernels/norm.inl.h"
#include "kernels/gemm.inl.h"
#include "kernels/pairs.inl.h"
#include "kernels/panel.inl.h"
#include "kernels/delta.inl.h"
#include "kernels/decode.inl.h"
#include "kernels/quantize.inl.h"
#include "kernels/unpack.inl.h"
#include "kernels/gemm_i8.inl.h"
// clang-format on

constexpr KernelTable make_table(const char* name) {
  return {
      .name = name,
      .gemm_f32 = gemm<F32Product>,
      .gemm_bf16 = gemm<Bf16Product>,
      .gemm_f16 = gemm<F16Product>,
      .gemm_bf16_pairs = gemm_pairs<SplitProduct>,
      .decode = decode,
      .tile_max = Lanes::kTileRows,
      .quantize_row = quantize_row,
      .tile_rows = tile_rows,
      .gemm_i8 = gemm_i8,
      .round_bf16 = round_bf16,
      .to_bf16 = to_bf16,
      .rms_norm = rms_norm,
      .l2_norm = l2_norm,
      .gated_norm = gated_norm,
      .silu = silu_rows,
      .silu_mul = silu_mul,
      .sigmoid = sigmoid_rows,
      .sigmoid_mul = sigmoid_mul,
      .delta_gate = delta_gate,
      .add = add_rows,
      .axpy = axpy,
      .moments = moments,
      .conv_silu = conv_silu,
      .rope = rope,
      .softmax = softmax,
      .panel = panel_product,
      .delta_recurrent = delta_recurrent,
      .delta_chunked = delta_chunked,
  };
}
