// Tensors cut into runs of rows: what the streaming passes hand to their threads.
#pragma once

#include <cstdint>
#include <vector>

#include "tensor/source.h"

namespace karat::tensor {

inline constexpr int64_t kPieceElements = 1 << 18;  // 1 MiB as f32

struct Piece {
  size_t tensor;  // index into the list that was cut
  int64_t row_begin, row_count;
};

// Runs of about kPieceElements elements, at least one row, that do not cross from one expert to the
// next; tensor after tensor, rows in order. Tensors without elements have none.
std::vector<Piece> pieces_of(const std::vector<const TensorInfo*>& tensors);

// The most rows that a piece of the tensor has.
int64_t piece_rows(const TensorInfo& tensor);

}  // namespace karat::tensor
