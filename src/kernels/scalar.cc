// The kernels in plain C++, on the baseline instruction set: the reference for the others.
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

namespace karat::kernels::scalar {
namespace {
#include "simd/vec_scalar.h"

#include "kernels/tile_scalar.inl.h"

#include "kernels/dot_scalar.inl.h"

#include "kernels/all.inl.h"
}  // namespace
}  // namespace karat::kernels::scalar

namespace karat::kernels {

constinit const KernelTable scalar_table = scalar::make_table("scalar");

}  // namespace karat::kernels
