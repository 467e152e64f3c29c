#include "recipe/encode.h"

#include "base/error.h"

namespace karat::recipe {

void encode_rows(const codec::Codec& codec, int64_t cols, std::span<const float> values,
                 std::span<const float> importance, std::span<std::byte> out) {
  const auto width = static_cast<size_t>(cols);
  const auto row_bytes = static_cast<size_t>(tensor::row_bytes(codec.type(), cols));
  CHECK(out.size() * width == values.size() * row_bytes);
  for (size_t row = 0; row * width < values.size(); ++row) {
    codec.encode_row(values.subspan(row * width, width), importance,
                     out.subspan(row * row_bytes, row_bytes));
  }
}

}  // namespace karat::recipe
