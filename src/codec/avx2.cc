// The vectorised parts of the codecs on AVX2 with FMA and F16C.
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

ISA_BEGIN("avx2,fma,f16c")
namespace karat::codec::avx2 {
namespace {
#include "simd/vec_avx2.h"

#include "codec/all.inl.h"
}  // namespace
}  // namespace karat::codec::avx2
ISA_END

namespace karat::codec {

constinit const CodecTable avx2_table = avx2::make_table();

}  // namespace karat::codec
