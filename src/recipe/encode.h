// The one way in which values become the codes of a type, for who measures what that costs and for
// who writes them.
#pragma once

#include <cstddef>
#include <span>

#include "codec/codec.h"

namespace karat::recipe {

// Encodes consecutive rows of `cols` values; `importance` is empty or [cols], the mean squared
// input of each column. out.size() == rows * row_bytes(type, cols). Safe from several threads.
// Error{bad_input} "column N: ..." for a value that the type cannot hold.
void encode_rows(const codec::Codec& codec, int64_t cols, std::span<const float> values,
                 std::span<const float> importance, std::span<std::byte> out);

}  // namespace karat::recipe
