#include "export/range_check.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>

#include "base/error.h"
#include "base/half.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "base/text.h"
#include "codec/codec.h"
#include "tensor/pieces.h"

namespace karat::exporting {

using tensor::DType;
using tensor::TensorInfo;

namespace {

// Nearest-even: up to and including 2^-25 rounds to zero.
constexpr float kLost = 0x1p-25f;

struct Count {
  int64_t large = 0, lost = 0, values = 0;
  int64_t first_row = -1, first_column = -1;  // of the first too large one
  float first_value = 0;
};

Count count_piece(const TensorInfo& tensor, const tensor::Piece& piece,
                  std::span<const float> values) {
  Count count;
  count.values = static_cast<int64_t>(values.size());
  const int64_t cols = tensor.shape.cols();
  for (int64_t i = 0; i < count.values; ++i) {
    const float magnitude = std::fabs(values[static_cast<size_t>(i)]);
    if (magnitude > 0 && magnitude <= kLost) ++count.lost;
    if (!(magnitude >= base::kF16Overflow) || std::isinf(magnitude)) continue;
    if (count.large++ > 0) continue;
    count.first_row = piece.row_begin + i / cols, count.first_column = i % cols;
    count.first_value = values[static_cast<size_t>(i)];
  }
  return count;
}

void add(Count& sum, const Count& more) {
  if (sum.large == 0 && more.large > 0) {
    sum.first_row = more.first_row, sum.first_column = more.first_column;
    sum.first_value = more.first_value;
  }
  sum.large += more.large, sum.lost += more.lost, sum.values += more.values;
}

void report(const tensor::TensorSource& source, const std::vector<const TensorInfo*>& tensors,
            const std::vector<Count>& counts) {
  int64_t lost = 0, tensors_with_lost = 0;
  for (size_t i = 0; i < counts.size(); ++i) {
    const Count& count = counts[i];
    lost += count.lost, tensors_with_lost += count.lost > 0 ? 1 : 0;
    if (count.large == 0) continue;
    throw base::fail(base::ErrorKind::gate,
                     "%s: %lld values are beyond F16's largest, 65504 (the first, row %lld, column "
                     "%lld, is %g), "
                     "and %lld would become zero, of %lld; BF16 can hold them: choose BF16",
                     source.place_of(*tensors[i]).c_str(), static_cast<long long>(count.large),
                     static_cast<long long>(count.first_row),
                     static_cast<long long>(count.first_column),
                     static_cast<double>(count.first_value), static_cast<long long>(count.lost),
                     static_cast<long long>(count.values));
  }
  if (lost > 0) {
    base::warn("%lld values of %lld tensors are too small for F16 and become zero; BF16 keeps them",
               static_cast<long long>(lost), static_cast<long long>(tensors_with_lost));
  }
}

}  // namespace

void check_f16_range(const tensor::TensorSource& source, const std::vector<const TensorInfo*>& from,
                     const std::vector<TensorInfo>& to, base::ThreadPool& pool) {
  std::vector<const TensorInfo*> tensors;
  double total = 0;
  for (size_t i = 0; i < from.size(); ++i) {
    const bool wide = from[i]->dtype == DType::f32 || from[i]->dtype == DType::bf16;
    if (!wide || to[i].dtype != DType::f16) continue;
    tensors.push_back(from[i]);
    total += static_cast<double>(from[i]->bytes());
  }
  if (tensors.empty()) return;
  const std::vector<tensor::Piece> pieces = tensor::pieces_of(tensors);
  std::vector<Count> of_pieces(pieces.size());
  base::Progress progress("range", "bytes", total);
  pool.for_each(static_cast<int64_t>(pieces.size()), [&](int64_t index, int) {
    base::stop_if_interrupted();
    const tensor::Piece& piece = pieces[static_cast<size_t>(index)];
    const TensorInfo& tensor = *tensors[piece.tensor];
    std::vector<std::byte> stored(static_cast<size_t>(piece.row_count * tensor.row_bytes()));
    std::vector<float> values(static_cast<size_t>(piece.row_count * tensor.shape.cols()));
    source.read_rows(tensor, piece.row_begin, piece.row_count, stored);
    codec::codec_for(tensor.dtype).decode(stored, values);
    of_pieces[static_cast<size_t>(index)] = count_piece(tensor, piece, values);
    progress.add(static_cast<double>(stored.size()), tensor.name);
  });
  std::vector<Count> counts(tensors.size());
  for (size_t i = 0; i < pieces.size(); ++i) add(counts[pieces[i].tensor], of_pieces[i]);
  report(source, tensors, counts);
}

}  // namespace karat::exporting
