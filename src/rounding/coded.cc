#include "rounding/coded.h"

#include "base/error.h"

namespace karat::rounding {

CodedRows::CodedRows(const codec::Codec& format, const float* values, int64_t row_count,
                     int64_t column_count)
    : codec(format),
      rows(row_count),
      columns(column_count),
      blocks(column_count / format.block_elems()),
      weights(values),
      grids(static_cast<size_t>(row_count * blocks)),
      codes(static_cast<size_t>(row_count * column_count)),
      errors(static_cast<size_t>(row_count * column_count)) {
  CHECK(blocks * format.block_elems() == column_count);
}

void CodedRows::unpack_row(int64_t row, std::span<const std::byte> bytes) {
  for (int64_t b = 0; b < blocks; ++b) {
    codec.unpack(&bytes[static_cast<size_t>(b * codec.block_bytes())], grid(row, b),
                 codes_of(row) + b * codec.block_elems());
    update_errors(row, b);
  }
}

void CodedRows::pack_row(int64_t row, std::span<std::byte> bytes) {
  for (int64_t b = 0; b < blocks; ++b) {
    codec.pack(grid(row, b), codes_of(row) + b * codec.block_elems(),
               &bytes[static_cast<size_t>(b * codec.block_bytes())]);
  }
}

void CodedRows::update_errors(int64_t row, int64_t block) {
  const codec::Grid& g = grid(row, block);
  const int64_t begin = block * codec.block_elems();
  for (int64_t i = 0; i < codec.block_elems(); ++i) {
    const auto sub = static_cast<size_t>(i / codec.sub_elems());
    const float value = g.step[sub] * static_cast<float>(codes_of(row)[begin + i]) - g.offset[sub];
    errors_of(row)[begin + i] = weights_of(row)[begin + i] - value;
  }
}

}  // namespace karat::rounding
