// The kernels on AVX2 with FMA and F16C: 16 lanes are two registers.
#include <immintrin.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>

#include "base/half.h"
#include "codec/blocks.h"
#include "codec/codebook.h"
#include "kernels/packed.h"
#include "kernels/table.h"
#include "kernels/tables.h"
#include "simd/isa.h"

ISA_BEGIN("avx2,fma,f16c")
namespace karat::kernels::avx2 {
namespace {
#include "simd/vec_avx2.h"

#include "kernels/tile_avx2.inl.h"

#include "kernels/dot_avx2.inl.h"

#include "kernels/all.inl.h"
}  // namespace
}  // namespace karat::kernels::avx2
ISA_END

namespace karat::kernels {

constinit const KernelTable avx2_table = avx2::make_table("avx2");

}  // namespace karat::kernels
