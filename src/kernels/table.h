// The kernels: fast versions of what codec/ defines and of the forward pass's primitives, one table
// per instruction set. All tables compute THE SAME BITS: every kernel is written once on vectors of
// 16 float lanes (an ISA only supplies the vocabulary), so the order of every addition is fixed:
//   * a sum over k adds element k to lane k % 16 with one fused multiply-add, in increasing k (a
//   tail is
//     padded with zeros), then adds lanes l and l+8, l+4, l+2, l+1 (docs/NUMERICS.md);
//   * exp and everything made from it are our own polynomials, not the C library's.
// Kernels are noexcept, allocate nothing, own no threads, take any length >= 0 and any alignment of
// their element type. Pointers of outputs and inputs may be equal only where a comment says so.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/packed.h"
#include "tensor/dtype.h"

namespace karat::kernels {

// x: [m, k] with row stride ldx; w: [n, k] with row stride ldw; y: [m, n] with row stride ldy.
// Strides in elements. y[i][j] = sum over k of x[i][k] * w[j][k].
template <class Weight, class X = float>
struct GemmArgs {
  const X* x;
  int64_t ldx;
  int64_t m;
  const Weight* w;
  int64_t ldw;
  int64_t n;
  int64_t k;
  float* y;
  int64_t ldy;
};

// One value head of the gated delta rule over `tokens` rows (Yang et al., Gated Delta Networks,
// 2024):
//   S <- exp(g_t) S;  d = beta_t (v_t - S^T k_t);  S <- S + k_t d^T;  o_t = S^T q_t
// q, k: [tokens, dk], already normalised (q scaled); v, o: [tokens, dv]; strides in elements.
// g, beta: element t at g[t * ld_gate]. state: [dk, dv], row = key dimension, read and written.
struct DeltaArgs {
  const float* q;
  const float* k;
  const float* v;
  const float* g;
  const float* beta;
  float* o;
  float* state;
  int64_t ldq, ldk, ldv, ld_gate, ldo;
  int64_t tokens, dk, dv;
  float* scratch;  // delta_chunked only: delta_scratch_floats(dk, dv) floats
};

// Tokens per chunk of delta_chunked (the paper's C).
constexpr int64_t kDeltaChunk = 64;
constexpr int64_t delta_scratch_floats(int64_t /*dk*/, int64_t dv) {
  return 2 * kDeltaChunk * kDeltaChunk + kDeltaChunk * dv + 3 * kDeltaChunk;
}

// x: element (i, l) at x[i * row_stride + l * step]; s: [k, n] with row stride lds; y: [rows, n]
// with row stride ldy, read and written.
struct PanelArgs {
  const float* x;
  int64_t row_stride, step;
  const float* s;
  int64_t lds;
  float* y;
  int64_t ldy;
  int64_t rows, k, n;
};

// x: [rows, n] with row stride ldx; sum2, sum: [n], read and written.
struct MomentArgs {
  const float* x;
  int64_t ldx, rows, n;
  double* sum2;
  double* sum;
};

struct KernelTable {
  const char* name;  // of the instruction set: "scalar", "avx2", ..

  void (*gemm_f32)(const GemmArgs<float>&) noexcept;
  void (*gemm_bf16)(const GemmArgs<uint16_t>&) noexcept;  // weights widened exactly to float
  void (*gemm_f16)(const GemmArgs<uint16_t>&) noexcept;

  // bf16 rows times bf16 weights. Lane l adds the exact products of elements 32 t + 2 l + 1, then
  // 32 t + 2 l, each rounded once, for t = 0, 1, ..; denormal operands and results are zero
  // (VDPBF16PS, Intel SDM volume 2).
  void (*gemm_bf16_pairs)(const GemmArgs<uint16_t, uint16_t>&) noexcept;

  // The codec's decode of `n` elements (whole blocks), the same bits as codec/ defines.
  // Types without a fast version fall back to the codec's.
  void (*decode)(tensor::DType type, const std::byte* blocks, int64_t n, float* out) noexcept;

  // Integer arithmetic (packed.h). Rows in the widest tile of this table's products.
  int64_t tile_max;
  // One row of n inputs, n a multiple of 32, to panels_of(n) blocks.
  void (*quantize_row)(const float* x, int64_t n, QuantizedBlock* out) noexcept;
  // `count` rows of `panels` blocks each to tiles: count * panels * sizeof(QuantizedBlock) bytes.
  void (*tile_rows)(const QuantizedBlock* const* rows, int64_t count, int64_t panels,
                    std::byte* out) noexcept;
  void (*gemm_i8)(const IntegerProduct&) noexcept;

  // out = x rounded to bf16 (nearest even) and widened; out may be x.
  void (*round_bf16)(const float* x, int64_t n, float* out) noexcept;
  // x rounded to bf16 (nearest even).
  void (*to_bf16)(const float* x, int64_t n, uint16_t* out) noexcept;

  // y = x * (1 / sqrt(mean(x^2) + eps)) * w; y may be x.
  void (*rms_norm)(const float* x, const float* w, float eps, int64_t n, float* y) noexcept;
  // y = x * (1 / sqrt(sum(x^2) + eps)) * scale; y may be x.
  void (*l2_norm)(const float* x, float eps, float scale, int64_t n, float* y) noexcept;
  // y = w * (x / sqrt(mean(x^2) + eps)) * silu(z), the gated norm of a DeltaNet head; y may be x.
  void (*gated_norm)(const float* x, const float* w, const float* z, float eps, int64_t n,
                     float* y) noexcept;
  void (*silu)(const float* x, int64_t n, float* y) noexcept;  // y may be x
  void (*silu_mul)(const float* gate, const float* up, int64_t n,
                   float* y) noexcept;                            // silu(gate)*up
  void (*sigmoid)(const float* x, int64_t n, float* y) noexcept;  // y may be x
  void (*sigmoid_mul)(const float* gate, const float* x, int64_t n, float* y) noexcept;
  // g = a * softplus(x + dt), softplus(z) = ln(1 + e^z), z itself above 20; a = -exp(A_log).
  void (*delta_gate)(const float* x, const float* dt, const float* a, int64_t n, float* g) noexcept;
  void (*add)(const float* x, int64_t n, float* y) noexcept;            // y += x
  void (*axpy)(float a, const float* x, int64_t n, float* y) noexcept;  // y = fma(a, x, y)

  // sum2[c] += x[r][c]^2 and sum[c] += x[r][c], in increasing r; squares are exact.
  void (*moments)(const MomentArgs&) noexcept;

  // Causal depthwise convolution of one row, then SiLU: y[c] = silu(sum over j of w[c*taps+j] *
  // rows[j][c]); rows[taps - 1] is the row itself, rows[0] the oldest. Added in increasing j.
  void (*conv_silu)(const float* const* rows, const float* w, int64_t taps, int64_t channels,
                    float* y) noexcept;
  // Half-split ("NeoX") rotation of the first 2*half elements of x in place:
  // x[i] <- x[i] cos[i] - x[i+half] sin[i];  x[i+half] <- x[i+half] cos[i] + x[i] sin[i].
  void (*rope)(float* x, const float* cos, const float* sin, int64_t half) noexcept;

  // x <- softmax(scale x), max subtracted.
  void (*softmax)(float* x, int64_t n, float scale) noexcept;
  // y += x s. Each output adds its terms in increasing l, one fma each.
  void (*panel)(const PanelArgs&) noexcept;
  void (*delta_recurrent)(const DeltaArgs&) noexcept;
  // The same sums in chunks of 64 tokens (WY form); equal up to rounding, not in bits.
  void (*delta_chunked)(const DeltaArgs&) noexcept;
};

}  // namespace karat::kernels
