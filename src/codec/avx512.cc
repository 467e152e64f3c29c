// The vectorised parts of the codecs on AVX-512 F, BW, VL and DQ.
#include <immintrin.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

#include "base/half.h"
#include "codec/codebook.h"
#include "codec/lattice_view.h"
#include "codec/table.h"
#include "simd/isa.h"

ISA_BEGIN("avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,f16c")
namespace karat::codec::avx512 {
namespace {
#include "simd/vec_avx512.h"

#include "codec/all.inl.h"
}  // namespace
}  // namespace karat::codec::avx512
ISA_END

namespace karat::codec {

constinit const CodecTable avx512_table = avx512::make_table();

}  // namespace karat::codec
