// Rows of weights on the way to a format's bytes.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "codec/codec.h"

namespace karat::rounding {

// `rows` rows of `columns` weights w, the codes and grids chosen so far, and the errors w - q of
// what they decode to.
struct CodedRows {
  CodedRows(const codec::Codec& format, const float* weights, int64_t row_count, int64_t columns);

  const codec::Codec& codec;
  int64_t rows, columns, blocks;
  const float* weights;            // [rows, columns], the caller's
  std::vector<codec::Grid> grids;  // [rows, blocks]
  std::vector<codec::Code> codes;  // [rows, columns]
  std::vector<float> errors;       // [rows, columns]

  const float* weights_of(int64_t row) const { return weights + row * columns; }
  codec::Grid& grid(int64_t row, int64_t block) {
    return grids[static_cast<size_t>(row * blocks + block)];
  }
  codec::Code* codes_of(int64_t row) { return codes.data() + row * columns; }
  float* errors_of(int64_t row) { return errors.data() + row * columns; }

  // Takes a row as the format's bytes say, or writes it so: [blocks * block_bytes].
  void unpack_row(int64_t row, std::span<const std::byte> bytes);
  void pack_row(int64_t row, std::span<std::byte> bytes);
  // errors = w - what the row's grids and codes decode to, in one block.
  void update_errors(int64_t row, int64_t block);
};

}  // namespace karat::rounding
