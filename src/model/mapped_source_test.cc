#include "model/mapped_source.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "base/half.h"
#include "base/rng.h"

namespace karat::model {
namespace {

using tensor::DType;
using tensor::Shape;
using tensor::TensorInfo;

// Tensors in memory.
class Memory : public tensor::TensorSource {
 public:
  // Values count up, so that every element tells where it was.
  void add(const std::string& name, const Shape& shape, float start) {
    infos_.push_back({name, DType::f32, shape});
    std::vector<float> values(static_cast<size_t>(shape.elements()));
    for (size_t i = 0; i < values.size(); ++i) values[i] = start + static_cast<float>(i);
    std::vector<std::byte> bytes(values.size() * 4);
    std::memcpy(bytes.data(), values.data(), bytes.size());
    bytes_.push_back(std::move(bytes));
  }
  void add_bf16(const std::string& name, const std::vector<float>& values) {
    infos_.push_back({name, DType::bf16, Shape{static_cast<int64_t>(values.size())}});
    std::vector<std::byte> bytes(values.size() * 2);
    for (size_t i = 0; i < values.size(); ++i) {
      const uint16_t bits = base::f32_to_bf16(values[i]);
      std::memcpy(bytes.data() + 2 * i, &bits, 2);
    }
    bytes_.push_back(std::move(bytes));
  }
  const std::vector<TensorInfo>& tensors() const override { return infos_; }
  void read_rows(const TensorInfo& tensor, int64_t begin, int64_t count,
                 std::span<std::byte> out) const override {
    const auto index = static_cast<size_t>(&at(tensor.name) - infos_.data());
    ASSERT_EQ(out.size(), static_cast<size_t>(count * tensor.row_bytes()));
    ASSERT_LE(begin + count, tensor.shape.rows());
    std::memcpy(out.data(), bytes_[index].data() + begin * tensor.row_bytes(), out.size());
  }

 private:
  std::vector<TensorInfo> infos_;
  std::vector<std::vector<std::byte>> bytes_;
};

std::vector<float> read(const tensor::TensorSource& source, const std::string& name, int64_t begin,
                        int64_t count) {
  const TensorInfo& info = source.at(name);
  std::vector<float> out(static_cast<size_t>(count * info.shape.cols()));
  source.read_rows(info, begin, count, std::as_writable_bytes(std::span(out)));
  return out;
}

std::vector<float> read(const tensor::TensorSource& source, const std::string& name) {
  return read(source, name, 0, source.at(name).shape.rows());
}

// Every range of rows is the same part of the whole.
void expect_consistent(const tensor::TensorSource& source, const std::string& name) {
  const Shape& shape = source.at(name).shape;
  const std::vector<float> whole = read(source, name);
  for (int64_t begin = 0; begin <= shape.rows(); ++begin) {
    for (int64_t count = 0; begin + count <= shape.rows(); ++count) {
      const std::vector<float> part = read(source, name, begin, count);
      ASSERT_TRUE(std::equal(part.begin(), part.end(), whole.begin() + begin * shape.cols()))
          << name << " rows " << begin << "+" << count;
    }
  }
}

MappedSource mapped(std::shared_ptr<Memory> raw, Recipe recipe, const Shape& shape) {
  recipe.info = {"x", DType::f32, shape};
  std::vector<Recipe> recipes;
  recipes.push_back(std::move(recipe));
  return {std::move(raw), std::move(recipes)};
}

// For every shape of heads: tiled head j = s * key_heads + g is stored head g * per_key + s.
TEST(MappedSource, TilesValueHeadsOfRowsAndColumns) {
  for (const int64_t key_heads : {1, 2, 3, 4}) {
    for (const int64_t per_key : {1, 2, 3}) {
      for (const int64_t dim : {1, 2, 5}) {
        for (const int64_t begin : {0, 3}) {
          const int64_t heads = key_heads * per_key, rows = begin + heads * dim;
          auto raw = std::make_shared<Memory>();
          raw->add("rows", {rows, 2}, 0);
          raw->add("cols", {3, rows}, 0);
          const HeadPermutation order{begin, key_heads, per_key, dim};
          Recipe by_row, by_col;
          by_row.segments.push_back({{&raw->tensors()[0]}, rows, 0, rows});
          by_row.row_heads = order;
          by_col.segments.push_back({{&raw->tensors()[1]}, 3, 0, 3});
          by_col.column_heads = order;
          const MappedSource row_source = mapped(raw, by_row, {rows, 2});
          const MappedSource col_source = mapped(raw, by_col, {3, rows});
          expect_consistent(row_source, "x");
          expect_consistent(col_source, "x");
          const std::vector<float> got_rows = read(row_source, "x"),
                                   got_cols = read(col_source, "x");
          for (int64_t s = 0; s < per_key; ++s) {
            for (int64_t g = 0; g < key_heads; ++g) {
              for (int64_t i = 0; i < dim; ++i) {
                const int64_t to = begin + (s * key_heads + g) * dim + i;
                const int64_t from = begin + (g * per_key + s) * dim + i;
                EXPECT_EQ(got_rows[static_cast<size_t>(2 * to)], static_cast<float>(2 * from));
                EXPECT_EQ(got_cols[static_cast<size_t>(rows + to)],
                          static_cast<float>(rows + from));
              }
            }
          }
          for (int64_t i = 0; i < begin; ++i) {  // keys and queries stay
            EXPECT_EQ(got_rows[static_cast<size_t>(2 * i)], static_cast<float>(2 * i));
            EXPECT_EQ(got_cols[static_cast<size_t>(i)], static_cast<float>(i));
          }
        }
      }
    }
  }
}

// The inverse of tiling with (key_heads, per_key) is tiling with the two exchanged.
TEST(MappedSource, TilingTwiceGivesTheOriginal) {
  const int64_t heads = 12, dim = 3, rows = heads * dim;
  for (const int64_t key_heads : {1, 2, 3, 4, 6, 12}) {
    auto raw = std::make_shared<Memory>();
    raw->add("w", {rows, 1}, 7);
    Recipe there, back;
    there.segments.push_back({{&raw->tensors()[0]}, rows, 0, rows});
    there.row_heads = {0, key_heads, heads / key_heads, dim};
    there.info = {"x", DType::f32, {rows, 1}};
    auto tiled = std::make_shared<MappedSource>(raw, std::vector{there});
    back.info = {"x", DType::f32, {rows, 1}};
    back.segments.push_back({{&tiled->tensors()[0]}, rows, 0, rows});
    back.row_heads = {0, heads / key_heads, key_heads, dim};
    const MappedSource again(tiled, std::vector{back});
    EXPECT_EQ(read(again, "x"), read(*raw, "w"));
    if (key_heads != 1 && key_heads != heads) {
      EXPECT_NE(read(*tiled, "x"), read(*raw, "w"));
    }
  }
}

// Gate and up out of stacked gate_up, and stacked gate_up out of single matrices.
TEST(MappedSource, GathersExperts) {
  const int64_t experts = 3, width = 2, cols = 2;
  auto raw = std::make_shared<Memory>();
  raw->add("stack", {experts, 2 * width, cols}, 0);
  raw->add("g0", {width, cols}, 100), raw->add("g1", {width, cols}, 200);
  raw->add("g2", {width, cols}, 300), raw->add("u0", {width, cols}, 400);
  raw->add("u1", {width, cols}, 500), raw->add("u2", {width, cols}, 600);
  const auto piece = [&](size_t i) { return &raw->tensors()[i]; };

  Recipe up;
  up.segments.push_back({{piece(0)}, width, width, 2 * width});
  const MappedSource ups = mapped(raw, up, {experts, width, cols});
  expect_consistent(ups, "x");
  EXPECT_EQ(read(ups, "x"), (std::vector<float>{4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23}));

  Recipe both;
  both.segments.push_back({{piece(1), piece(2), piece(3)}, width, 0, 0});
  both.segments.push_back({{piece(4), piece(5), piece(6)}, width, 0, 0});
  const MappedSource fused = mapped(raw, both, {experts, 2 * width, cols});
  expect_consistent(fused, "x");
  EXPECT_EQ(read(fused, "x", 3, 3), (std::vector<float>{402, 403, 200, 201, 202, 203}));
  std::vector<float> second(8);
  fused.read_expert(fused.at("x"), 1, std::as_writable_bytes(std::span(second)));
  EXPECT_EQ(second, (std::vector<float>{200, 201, 202, 203, 500, 501, 502, 503}));
}

TEST(MappedSource, FoldsInF32) {
  auto raw = std::make_shared<Memory>();
  const std::vector<float> values{0.0F, -0.5F, 0.00390625F, 3.0F, -7.25F};
  raw->add_bf16("v", values);
  for (const Fold fold : {Fold::none, Fold::add_one, Fold::minus_exp}) {
    Recipe recipe;
    recipe.segments.push_back({{&raw->tensors()[0]}, 1, 0, 1});
    recipe.stored = DType::bf16;
    recipe.fold = fold;
    const std::vector<float> got = read(mapped(raw, recipe, Shape{5}), "x");
    for (size_t i = 0; i < values.size(); ++i) {
      const float want = fold == Fold::none      ? values[i]
                         : fold == Fold::add_one ? values[i] + 1
                                                 : -std::exp(values[i]);
      // expf is within one unit of the correctly rounded value.
      EXPECT_LE(std::fabs(got[i] - want), fold == Fold::minus_exp ? 1.2e-7F * std::fabs(want) : 0)
          << i;
    }
  }
}

}  // namespace
}  // namespace karat::model
