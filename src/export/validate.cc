#include "export/validate.h"

#include <optional>

#include "base/interrupt.h"
#include "base/log.h"
#include "codec/codec.h"
#include "tensor/pieces.h"

namespace karat::exporting {

namespace {

using tensor::DType;
using tensor::TensorInfo;

bool is_integer(DType type) {
  return type == DType::i8 || type == DType::i16 || type == DType::i32 || type == DType::i64;
}

}  // namespace

Validation validate_tensors(const tensor::TensorSource& source, base::ThreadPool& pool) {
  Validation out;
  std::vector<const TensorInfo*> tensors;
  double total = 0;
  for (const TensorInfo& tensor : source.tensors()) {
    if (is_integer(tensor.dtype)) continue;
    if (codec::find_codec(tensor.dtype) == nullptr) {
      out.unknown_types.emplace(tensor::info(tensor.dtype).name);
      continue;
    }
    tensors.push_back(&tensor);
    total += static_cast<double>(tensor.bytes());
  }
  const std::vector<tensor::Piece> pieces = tensor::pieces_of(tensors);
  std::vector<std::optional<int64_t>> bad(
      pieces.size());  // a block, counted from the piece's first
  std::vector<std::vector<std::byte>> buffers(static_cast<size_t>(pool.size()));
  base::Progress progress("verify", "bytes", total);
  pool.for_each(static_cast<int64_t>(pieces.size()), [&](int64_t index, int worker) {
    base::stop_if_interrupted();
    const auto i = static_cast<size_t>(index), ahead = i + buffers.size();
    if (ahead < pieces.size()) {
      source.will_read(*tensors[pieces[ahead].tensor], pieces[ahead].row_begin,
                       pieces[ahead].row_count);
    }
    const tensor::Piece& piece = pieces[i];
    const TensorInfo& tensor = *tensors[piece.tensor];
    std::vector<std::byte>& bytes = buffers[static_cast<size_t>(worker)];
    bytes.resize(static_cast<size_t>(piece.row_count * tensor.row_bytes()));
    source.read_rows(tensor, piece.row_begin, piece.row_count, bytes);
    bad[i] = codec::codec_for(tensor.dtype).find_bad_block(bytes);
    progress.add(static_cast<double>(bytes.size()), tensor.name);
  });
  for (size_t i = 0; i < pieces.size(); ++i) {
    const TensorInfo& tensor = *tensors[pieces[i].tensor];
    if (!bad[i] || (!out.bad.empty() && out.bad.back().tensor == tensor.name)) continue;
    const int64_t blocks = tensor.shape.cols() / tensor::info(tensor.dtype).block_elems;
    out.bad.push_back({tensor.name, pieces[i].row_begin + *bad[i] / blocks, *bad[i] % blocks});
  }
  return out;
}

}  // namespace karat::exporting
