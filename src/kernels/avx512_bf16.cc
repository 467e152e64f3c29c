// What AVX512_BF16 adds to AVX-512: products of bf16 pairs in one instruction.
#include <immintrin.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>

#include "base/half.h"
#include "kernels/table.h"
#include "kernels/tables.h"
#include "simd/isa.h"

ISA_BEGIN("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,avx2,fma,f16c")
namespace karat::kernels::avx512_bf16 {
namespace {
#include "simd/vec_avx512.h"

#include "kernels/tile_avx512.inl.h"

// clang-format off
#include "kernels/pieces.inl.h"
#include "kernels/gemm.inl.h"
// clang-format on

struct NativePairs {
  __m512i v;
};

struct NativeProduct : PairLayout {
  using Copied = NativeProduct;
  template <class V>
  ISA_INLINE static NativePairs get_x(const uint16_t* p) {
    return {_mm512_loadu_si512(p)};
  }
  template <class V>
  ISA_INLINE static NativePairs get_x_n(const uint16_t* p, int64_t n) {
    const auto mask = static_cast<__mmask32>((uint64_t{1} << static_cast<uint64_t>(n)) - 1);
    return {_mm512_maskz_loadu_epi16(mask, p)};
  }
  template <class V>
  ISA_INLINE static NativePairs get_w(const uint16_t* p) {
    return get_x<V>(p);
  }
  template <class V>
  ISA_INLINE static NativePairs get_w_n(const uint16_t* p, int64_t n) {
    return get_x_n<V>(p, n);
  }
  ISA_INLINE static F16x multiply_add(NativePairs x, NativePairs w, F16x total) {
    return {_mm512_dpbf16_ps(total.v, reinterpret_cast<__m512bh>(x.v),
                             reinterpret_cast<__m512bh>(w.v))};
  }
};
}  // namespace
}  // namespace karat::kernels::avx512_bf16
ISA_END

namespace karat::kernels {

const KernelTable& avx512_bf16_table() {
  static const KernelTable table = [] {
    KernelTable t = avx512_table;
    t.name = "avx512_bf16";
    t.gemm_bf16_pairs = avx512_bf16::gemm_pairs<avx512_bf16::NativeProduct>;
    return t;
  }();
  return table;
}

}  // namespace karat::kernels
