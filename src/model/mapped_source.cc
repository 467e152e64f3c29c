#include "model/mapped_source.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/error.h"
#include "codec/codec.h"

namespace karat::model {

using tensor::DType;
using tensor::TensorInfo;

namespace {

constexpr int64_t kScratchBytes = 64 << 10;

// The exponential is taken in double and rounded once, so that it is correctly rounded (but for
// values within 2^-53 of a tie) and the same on every machine.
float folded(float value, Fold fold) {
  switch (fold) {
    case Fold::none:
      return value;
    case Fold::add_one:
      return value + 1.0F;
    case Fold::minus_exp:
      return -static_cast<float>(std::exp(static_cast<double>(value)));
  }
  return value;
}

void tile_columns(const HeadPermutation& heads, int64_t element_bytes, std::span<std::byte> row,
                  std::span<std::byte> scratch) {
  std::memcpy(scratch.data(), row.data(), row.size());
  const int64_t head_bytes = heads.dim * element_bytes;
  std::byte* const out = row.data() + heads.begin * element_bytes;
  const std::byte* const in = scratch.data() + heads.begin * element_bytes;
  for (int64_t j = 0; j < heads.key_heads * heads.per_key; ++j) {
    std::memcpy(out + j * head_bytes, in + heads.stored_head(j) * head_bytes,
                static_cast<size_t>(head_bytes));
  }
}

}  // namespace

MappedSource::MappedSource(std::shared_ptr<const tensor::TensorSource> raw,
                           std::vector<Recipe> recipes)
    : raw_(std::move(raw)), recipes_(std::move(recipes)) {
  for (const Recipe& recipe : recipes_) tensors_.push_back(recipe.info);
}

const Recipe& MappedSource::recipe(const TensorInfo& tensor) const {
  const TensorInfo* const own = &at(tensor.name);
  return recipes_[static_cast<size_t>(own - tensors_.data())];
}

MappedSource::Run MappedSource::run_at(const Recipe& recipe, int64_t row, int64_t rows_max) {
  int64_t group_rows = 0;
  for (const Recipe::Segment& segment : recipe.segments) group_rows += segment.rows;
  const int64_t group = row / group_rows;
  int64_t local = row % group_rows;
  const Recipe::Segment* segment = recipe.segments.data();
  while (local >= segment->rows) local -= (segment++)->rows;

  int64_t rows = segment->rows - local;
  const HeadPermutation& heads = recipe.row_heads;
  if (heads.dim > 0 && local < heads.begin) {
    rows = heads.begin - local;
  } else if (heads.dim > 0) {
    const int64_t within = (local - heads.begin) % heads.dim;
    rows = heads.dim - within;
    local = heads.begin + heads.stored_head((local - heads.begin) / heads.dim) * heads.dim + within;
  }
  const bool single = segment->pieces.size() == 1;
  const TensorInfo* piece = segment->pieces[single ? 0 : static_cast<size_t>(group)];
  const int64_t start = single ? group * segment->stride : 0;
  return {piece, start + segment->offset + local, std::min(rows, rows_max)};
}

void MappedSource::read_as_f32(const Recipe& recipe, const Run& run,
                               std::span<std::byte> out) const {
  const codec::Codec& codec = codec::codec_for(recipe.stored);
  const int64_t cols = recipe.info.shape.cols();
  const int64_t stored_bytes = tensor::row_bytes(recipe.stored, cols);
  const int64_t step = std::max<int64_t>(1, kScratchBytes / stored_bytes);
  std::vector<std::byte> scratch(static_cast<size_t>(std::min(step, run.rows) * stored_bytes));
  std::vector<float> values(static_cast<size_t>(std::min(step, run.rows) * cols));
  for (int64_t done = 0; done < run.rows; done += step) {
    const int64_t rows = std::min(step, run.rows - done);
    const std::span<std::byte> bytes(scratch.data(), static_cast<size_t>(rows * stored_bytes));
    const std::span<float> part(values.data(), static_cast<size_t>(rows * cols));
    raw_->read_rows(*run.piece, run.piece_row + done, rows, bytes);
    codec.decode(bytes, part);
    for (float& value : part) value = folded(value, recipe.fold);
    std::memcpy(out.data() + done * cols * 4, part.data(), part.size_bytes());
  }
}

void MappedSource::read_run(const Recipe& recipe, const Run& run, std::span<std::byte> out) const {
  if (recipe.info.dtype == recipe.stored && recipe.fold == Fold::none) {
    raw_->read_rows(*run.piece, run.piece_row, run.rows, out);
  } else {
    read_as_f32(recipe, run, out);
  }
  const HeadPermutation& heads = recipe.column_heads;
  if (heads.dim == 0) return;
  const auto row_bytes = static_cast<size_t>(recipe.info.row_bytes());
  std::vector<std::byte> scratch(row_bytes);
  for (size_t at = 0; at < out.size(); at += row_bytes) {
    tile_columns(heads, tensor::info(recipe.info.dtype).block_bytes, out.subspan(at, row_bytes),
                 scratch);
  }
}

void MappedSource::read_rows(const TensorInfo& tensor, int64_t row_begin, int64_t row_count,
                             std::span<std::byte> out) const {
  const Recipe& from = recipe(tensor);
  const int64_t row_bytes = from.info.row_bytes();
  CHECK(row_begin >= 0 && row_count >= 0 && row_begin + row_count <= from.info.shape.rows());
  CHECK(out.size() == static_cast<size_t>(row_count * row_bytes));
  for (int64_t done = 0; done < row_count;) {
    const Run run = run_at(from, row_begin + done, row_count - done);
    read_run(from, run,
             out.subspan(static_cast<size_t>(done * row_bytes),
                         static_cast<size_t>(run.rows * row_bytes)));
    done += run.rows;
  }
}

void MappedSource::will_read(const TensorInfo& tensor, int64_t row_begin, int64_t row_count) const {
  const Recipe& from = recipe(tensor);
  for (int64_t done = 0; done < row_count;) {
    const Run run = run_at(from, row_begin + done, row_count - done);
    raw_->will_read(*run.piece, run.piece_row, run.rows);
    done += run.rows;
  }
}

}  // namespace karat::model
