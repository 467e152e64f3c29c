#include "tensor/shape.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace karat::tensor {
namespace {

TEST(Shape, Views) {
  const Shape scalar;
  EXPECT_EQ(scalar.rank(), 0);
  EXPECT_EQ(scalar.elements(), 1);
  EXPECT_EQ(scalar.cols(), 1);
  EXPECT_EQ(scalar.rows(), 1);
  EXPECT_EQ(scalar.experts(), 1);
  EXPECT_EQ(scalar.str(), "[]");

  const Shape vector{7};
  EXPECT_EQ(vector.cols(), 7);
  EXPECT_EQ(vector.rows(), 1);
  EXPECT_EQ(vector.experts(), 1);

  const Shape matrix{3, 4};
  EXPECT_EQ(matrix.rows(), 3);
  EXPECT_EQ(matrix.cols(), 4);
  EXPECT_EQ(matrix.experts(), 1);

  const Shape stack{256, 512, 2048};
  EXPECT_EQ(stack.rows(), 256 * 512);
  EXPECT_EQ(stack.cols(), 2048);
  EXPECT_EQ(stack.experts(), 256);
  EXPECT_EQ(stack[1], 512);
  EXPECT_EQ(stack.str(), "[256, 512, 2048]");
  EXPECT_EQ((Shape{2, 3, 4, 5}.experts()), 6);
  EXPECT_NE(stack, matrix);
  EXPECT_EQ(stack, (Shape{256, 512, 2048}));
}

TEST(Shape, WithoutElements) {
  for (const Shape& shape : {Shape{0}, Shape{0, 4}, Shape{4, 0}, Shape{2, 0, 4}, Shape{0, 2, 4},
                             Shape{INT64_MAX, INT64_MAX, 0}}) {
    EXPECT_EQ(shape.elements(), 0) << shape.str();
    EXPECT_EQ(shape.rows(), 0) << shape.str();
    EXPECT_EQ(shape.experts(), shape.rank() < 3 ? 1 : 0) << shape.str();
  }
}

TEST(Shape, Limits) {
  EXPECT_EQ((Shape{int64_t{1} << 31, int64_t{1} << 31}.elements()), int64_t{1} << 62);
  EXPECT_THROW((Shape{int64_t{1} << 32, int64_t{1} << 31}), base::Error);
  EXPECT_THROW((Shape{INT64_MAX, 2}), base::Error);
  EXPECT_THROW((Shape{2, -1}), base::Error);
  EXPECT_THROW((Shape{-1, 0}), base::Error);
  EXPECT_NO_THROW((Shape{1, 1, 1, 1, 1, 1, 1, 1}));
  EXPECT_THROW((Shape{1, 1, 1, 1, 1, 1, 1, 1, 1}), base::Error);
}

}  // namespace
}  // namespace karat::tensor
