#include "model/activations.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/half.h"

namespace karat::model {
namespace {

constexpr int64_t kQ8Block = 32;
constexpr int64_t kQ8KBlock = 256;

// Nearest integer, ties to even, for |x| < 2^22: at 1.5 * 2^23 the spacing of floats is 1.
float round_even(float x) { return (x + 0x1.8p23F) - 0x1.8p23F; }

void round_q8_0(const float* x, float* out) {
  float amax = 0;
  for (int64_t i = 0; i < kQ8Block; ++i) amax = std::max(amax, std::fabs(x[i]));
  const float step = base::f16_to_f32(base::f32_to_f16(amax / 127.0F));
  const float inverse = amax != 0 ? 127.0F / amax : 0.0F;
  for (int64_t i = 0; i < kQ8Block; ++i) out[i] = step * round_even(x[i] * inverse);
}

// What the packed products compute with (kernels/quantize.inl.h): blocks below 2^-100 are zero.
void round_q8(const float* x, int64_t n, float* out) {
  float amax = 0;
  for (int64_t i = 0; i < n; ++i) amax = std::max(amax, std::fabs(x[i]));
  const float step = amax / 127.0F;
  const float inverse = amax < 0x1p-100F ? 0.0F : 127.0F / amax;
  for (int64_t i = 0; i < n; ++i) out[i] = step * round_even(x[i] * inverse);
}

void round_q8_k(const float* x, float* out) {
  float extreme = 0;
  for (int64_t i = 0; i < kQ8KBlock; ++i) {
    if (std::fabs(x[i]) > std::fabs(extreme)) extreme = x[i];
  }
  if (extreme == 0) {
    std::fill(out, out + kQ8KBlock, 0.0F);
    return;
  }
  const float inverse = -127.0F / extreme;
  const float step = 1.0F / inverse;
  for (int64_t i = 0; i < kQ8KBlock; ++i) {
    out[i] = step * std::min(127.0F, round_even(x[i] * inverse));
  }
}

}  // namespace

std::string_view activations_name(Activations activations) {
  switch (activations) {
    case Activations::f32:
      return "f32";
    case Activations::bf16:
      return "bf16";
    case Activations::stock:
      return "stock";
    case Activations::q8:
      return "q8";
    case Activations::q8_rows:
      break;
  }
  return "q8_rows";
}

Rounding rounding_for(Activations activations, tensor::DType weight) {
  if (activations == Activations::f32 || activations == Activations::q8) return Rounding::none;
  if (weight == tensor::DType::f32) return Rounding::none;
  if (activations == Activations::bf16) {
    return weight == tensor::DType::bf16 ? Rounding::pairs : Rounding::bf16;
  }
  if (activations == Activations::q8_rows) return Rounding::q8;
  if (weight == tensor::DType::bf16) return Rounding::bf16;
  if (weight == tensor::DType::f16) return Rounding::f16;
  return tensor::info(weight).block_elems == kQ8KBlock ? Rounding::q8_k : Rounding::q8_0;
}

Layout layout_for(Activations activations) {
  return activations == Activations::q8 ? Layout::panels : Layout::rows;
}

Rounding rounding_for_cache(Activations activations) {
  return activations == Activations::bf16 ? Rounding::bf16 : Rounding::none;
}

void round_row(Rounding rounding, const kernels::KernelTable& kernels, const float* x, int64_t n,
               float* out) {
  switch (rounding) {
    case Rounding::none:
      if (out != x) std::copy(x, x + n, out);
      break;
    case Rounding::bf16:
      kernels.round_bf16(x, n, out);
      break;
    case Rounding::f16:
      for (int64_t i = 0; i < n; ++i) out[i] = base::f16_to_f32(base::f32_to_f16(x[i]));
      break;
    case Rounding::q8_0:
      CHECK(n % kQ8Block == 0);
      for (int64_t i = 0; i < n; i += kQ8Block) round_q8_0(x + i, out + i);
      break;
    case Rounding::q8:
      for (int64_t i = 0; i < n; i += kQ8Block) {
        round_q8(x + i, std::min(kQ8Block, n - i), out + i);
      }
      break;
    case Rounding::pairs:
      kernels.to_bf16(x, n, reinterpret_cast<uint16_t*>(out));
      break;
    case Rounding::q8_k:
      CHECK(n % kQ8KBlock == 0);
      for (int64_t i = 0; i < n; i += kQ8KBlock) round_q8_k(x + i, out + i);
      break;
  }
}

}  // namespace karat::model
