// The kernels on AVX-512 F, BW, VL, DQ and VNNI: 16 lanes are one register.
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

ISA_BEGIN("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c")
namespace karat::kernels::avx512 {
namespace {
#include "simd/vec_avx512.h"

#include "kernels/tile_avx512.inl.h"

#include "kernels/dot_avx512.inl.h"

#include "kernels/all.inl.h"
}  // namespace
}  // namespace karat::kernels::avx512
ISA_END

namespace karat::kernels {

constinit const KernelTable avx512_table = avx512::make_table("avx512");

}  // namespace karat::kernels
