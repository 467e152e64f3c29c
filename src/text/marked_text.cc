#include "text/marked_text.h"

#include <algorithm>

namespace karat::text {

MarkedText::MarkedText(std::string bytes, bool from_input) : text(std::move(bytes)) {
  if (from_input) mark(0, text.size());
}

void MarkedText::mark(size_t begin, size_t end) {
  if (begin >= end) return;
  if (!input.empty() && begin <= input.back().end) {
    input.back().end = std::max(input.back().end, end);
  } else {
    input.push_back({begin, end});
  }
}

void MarkedText::append(const MarkedText& other, size_t begin, size_t end) {
  end = std::min(end, other.text.size());
  if (begin >= end) return;
  const size_t start = text.size();
  text.append(other.text, begin, end - begin);
  const auto first =
      std::partition_point(other.input.begin(), other.input.end(),
                           [&](const TextSpan& range) { return range.end <= begin; });
  for (auto range = first; range != other.input.end() && range->begin < end; ++range) {
    mark(start + std::max(range->begin, begin) - begin, start + std::min(range->end, end) - begin);
  }
}

MarkedText MarkedText::part(size_t begin, size_t end) const {
  MarkedText out;
  out.append(*this, begin, end);
  return out;
}

}  // namespace karat::text
