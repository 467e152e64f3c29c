// A part of a text.
#pragma once

#include <cstddef>

namespace karat::text {

// The bytes [begin, end) of a text.
struct TextSpan {
  size_t begin = 0;
  size_t end = 0;
  friend bool operator==(const TextSpan&, const TextSpan&) = default;
};

}  // namespace karat::text
