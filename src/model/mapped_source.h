// A TensorSource whose tensors are rearrangements of another source's: rows gathered from one or
// several tensors, value heads permuted, values folded. Nothing is stored; reads are computed.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "model/hf_names.h"
#include "tensor/source.h"

namespace karat::model {

// Value heads of `dim` elements each along one axis, from `begin` on: key_heads groups of `per_key`
// heads as stored, per_key runs of key_heads heads as presented. Tiled head j is stored head
// (j mod key_heads) * per_key + j / key_heads (MODEL.md section 6.3).
struct HeadPermutation {
  int64_t begin = 0, key_heads = 1, per_key = 1, dim = 0;  // dim 0: no permutation
  int64_t stored_head(int64_t tiled) const {
    return tiled % key_heads * per_key + tiled / key_heads;
  }
};

// Where a presented tensor comes from. Its rows fall into groups of the sum of the segments' rows
// (a group is an expert, or all rows); within a group the segments follow each other.
struct Recipe {
  struct Segment {
    // One tensor per group, or a single one in which group g's rows start at g * stride.
    std::vector<const tensor::TensorInfo*> pieces;
    int64_t rows = 0, offset = 0, stride = 0;
  };
  tensor::TensorInfo info;  // as presented
  std::vector<Segment> segments;
  tensor::DType stored = tensor::DType::f32;  // type of every piece
  HeadPermutation row_heads;                  // only with one segment of one piece and one group
  HeadPermutation column_heads;
  Fold fold = Fold::none;  // needs info.dtype f32
};

class MappedSource : public tensor::TensorSource {
 public:
  MappedSource(std::shared_ptr<const tensor::TensorSource> raw, std::vector<Recipe> recipes);

  const std::vector<tensor::TensorInfo>& tensors() const override { return tensors_; }
  void read_rows(const tensor::TensorInfo& tensor, int64_t row_begin, int64_t row_count,
                 std::span<std::byte> out) const override;
  void will_read(const tensor::TensorInfo& tensor, int64_t row_begin,
                 int64_t row_count) const override;
  std::string origin() const override { return raw_->origin(); }

 private:
  // Rows of one stored tensor that are consecutive as presented, too.
  struct Run {
    const tensor::TensorInfo* piece;
    int64_t piece_row, rows;
  };
  const Recipe& recipe(const tensor::TensorInfo& tensor) const;
  static Run run_at(const Recipe& recipe, int64_t row, int64_t rows_max);
  void read_run(const Recipe& recipe, const Run& run, std::span<std::byte> out) const;
  void read_as_f32(const Recipe& recipe, const Run& run, std::span<std::byte> out) const;

  std::shared_ptr<const tensor::TensorSource> raw_;
  std::vector<Recipe> recipes_;
  std::vector<tensor::TensorInfo> tensors_;  // parallel to recipes_
};

}  // namespace karat::model
