#include "export/reshard.h"

#include <algorithm>

#include "base/file.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "tensor/pieces.h"

namespace karat::exporting {

using tensor::TensorInfo;

std::vector<std::string> reshard(const format::GgufSource& source, const std::string& out,
                                 const ReshardOptions& options, base::ThreadPool& pool) {
  format::Metadata metadata = source.metadata();
  format::drop_split_keys(metadata);
  const format::GgufLayout layout(metadata, source.tensors(), options.shards);
  const std::vector<std::string> paths = layout.paths(out);
  for (const std::string& path : paths) {
    base::check_output(
        path,
        {.force = options.force, .bytes_needed = layout.file_bytes(), .inputs = source.files()});
  }
  std::vector<const TensorInfo*> tensors;
  double total = 0;
  for (const TensorInfo& tensor : source.tensors()) {
    tensors.push_back(&tensor);
    total += static_cast<double>(tensor.bytes());
  }
  format::GgufWriter writer(out, metadata, source.tensors(), options.shards);
  const std::vector<tensor::Piece> pieces = tensor::pieces_of(tensors);
  std::vector<std::vector<std::byte>> buffers(static_cast<size_t>(pool.size()));
  base::Progress progress("merge", "bytes", total);
  pool.for_each(static_cast<int64_t>(pieces.size()), [&](int64_t index, int worker) {
    base::stop_if_interrupted();
    const auto i = static_cast<size_t>(index), ahead = i + buffers.size();
    if (ahead < pieces.size()) {
      source.will_read(*tensors[pieces[ahead].tensor], pieces[ahead].row_begin,
                       pieces[ahead].row_count);
    }
    const tensor::Piece& piece = pieces[i];
    std::vector<std::byte>& bytes = buffers[static_cast<size_t>(worker)];
    bytes.resize(static_cast<size_t>(piece.row_count * tensors[piece.tensor]->row_bytes()));
    source.read_rows(*tensors[piece.tensor], piece.row_begin, piece.row_count, bytes);
    writer.write_rows(piece.tensor, piece.row_begin, bytes);
    progress.add(static_cast<double>(bytes.size()), tensors[piece.tensor]->name);
  });
  writer.finish();
  writer.commit();
  return paths;
}

uint64_t reshard_memory(const format::GgufSource& source) {
  int64_t most = 0;
  for (const TensorInfo& tensor : source.tensors()) {
    most = std::max(most, tensor::piece_rows(tensor) * tensor.row_bytes());
  }
  return static_cast<uint64_t>(most);
}

}  // namespace karat::exporting
