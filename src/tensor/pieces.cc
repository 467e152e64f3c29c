#include "tensor/pieces.h"

#include <algorithm>

namespace karat::tensor {

int64_t piece_rows(const TensorInfo& tensor) {
  const Shape& shape = tensor.shape;
  if (shape.elements() == 0) return 0;
  return std::min(shape.rows() / shape.experts(),
                  std::max<int64_t>(1, kPieceElements / shape.cols()));
}

std::vector<Piece> pieces_of(const std::vector<const TensorInfo*>& tensors) {
  std::vector<Piece> out;
  for (size_t i = 0; i < tensors.size(); ++i) {
    const Shape& shape = tensors[i]->shape;
    if (shape.elements() == 0) continue;
    const int64_t expert_rows = shape.rows() / shape.experts();
    const int64_t step = piece_rows(*tensors[i]);
    for (int64_t first = 0; first < shape.rows(); first += expert_rows) {
      for (int64_t row = 0; row < expert_rows; row += step) {
        out.push_back({i, first + row, std::min(step, expert_rows - row)});
      }
    }
  }
  return out;
}

}  // namespace karat::tensor
