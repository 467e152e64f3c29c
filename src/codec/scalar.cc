// The vectorised parts of the codecs in plain C++: the definition of what the others compute.
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

namespace karat::codec::scalar {
namespace {
#include "simd/vec_scalar.h"

#include "codec/all.inl.h"
}  // namespace
}  // namespace karat::codec::scalar

namespace karat::codec {

constinit const CodecTable scalar_table = scalar::make_table();

}  // namespace karat::codec
