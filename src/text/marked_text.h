// Text that remembers which of its bytes were copied from outside (messages, tools), so that a
// special token spelled by a user can be told from the template's own markup.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "text/text_span.h"

namespace karat::text {

struct MarkedText {
  std::string text;
  std::vector<TextSpan> input;  // sorted, disjoint, not touching, none empty

  MarkedText() = default;
  // Text that is wholly from outside, or wholly ours.
  explicit MarkedText(std::string bytes, bool from_input = false);

  bool has_input() const { return !input.empty(); }
  // Marks the bytes [begin, end); begin must not lie before the last marked range's begin.
  void mark(size_t begin, size_t end);
  void append(std::string_view ours) { text.append(ours); }
  // Appends a part of another text with its marks. `end` past the text means to the end.
  void append(const MarkedText& other, size_t begin = 0, size_t end = std::string::npos);
  MarkedText part(size_t begin, size_t end) const;
};

}  // namespace karat::text
