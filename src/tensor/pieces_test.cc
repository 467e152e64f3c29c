#include "tensor/pieces.h"

#include <gtest/gtest.h>

namespace karat::tensor {
namespace {

TEST(Pieces, CoverEveryRowOnceAndStayInTheirExpert) {
  const TensorInfo experts{"e", DType::f32, {3, 5, kPieceElements / 2}};
  const TensorInfo wide{"w", DType::f32, {2, 2 * kPieceElements}};
  const TensorInfo empty{"z", DType::f32, {0, 4}};
  const TensorInfo scalar{"s", DType::f32, Shape(std::vector<int64_t>{})};
  const std::vector<Piece> pieces = pieces_of({&experts, &wide, &empty, &scalar});
  std::vector<std::vector<int64_t>> flat;
  for (const Piece& piece : pieces) {
    flat.push_back({static_cast<int64_t>(piece.tensor), piece.row_begin, piece.row_count});
  }
  EXPECT_EQ(flat, (std::vector<std::vector<int64_t>>{{0, 0, 2},
                                                     {0, 2, 2},
                                                     {0, 4, 1},
                                                     {0, 5, 2},
                                                     {0, 7, 2},
                                                     {0, 9, 1},
                                                     {0, 10, 2},
                                                     {0, 12, 2},
                                                     {0, 14, 1},
                                                     {1, 0, 1},
                                                     {1, 1, 1},
                                                     {3, 0, 1}}));
  EXPECT_EQ(piece_rows(experts), 2);
  EXPECT_EQ(piece_rows(empty), 0);
}

}  // namespace
}  // namespace karat::tensor
