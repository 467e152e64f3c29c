#include "export/recode.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "base/text.h"
#include "codec/codec.h"
#include "export/q8_plain.h"

namespace karat::exporting {

using base::ErrorKind;
using base::fail;
using base::printable;
using tensor::DType;
using tensor::TensorInfo;

namespace {

constexpr int64_t kPieceElements = 1 << 20;

struct Piece {
  size_t tensor;
  int64_t row_begin, row_count;
};

std::vector<Piece> pieces_of(const std::vector<const TensorInfo*>& tensors) {
  std::vector<Piece> out;
  for (size_t i = 0; i < tensors.size(); ++i) {
    const tensor::Shape& shape = tensors[i]->shape;
    const int64_t step = std::max<int64_t>(1, kPieceElements / shape.cols());
    for (int64_t row = 0; row < shape.rows(); row += step) {
      out.push_back({i, row, std::min(step, shape.rows() - row)});
    }
  }
  return out;
}

// `place` is the file and the tensor.
[[noreturn]] void refuse_value(const std::string& place, int64_t element, float value, DType type) {
  const auto index = static_cast<long long>(element);
  if (!std::isfinite(value)) {
    throw fail(ErrorKind::bad_input,
               "%s: element %lld is %s; the checkpoint is damaged or its training diverged",
               place.c_str(), index, std::isnan(value) ? "NaN" : "infinite");
  }
  throw fail(ErrorKind::bad_input,
             "%s: element %lld is %g, beyond the largest %s value; use --outtype bf16",
             place.c_str(), index, static_cast<double>(value),
             std::string(tensor::info(type).name).c_str());
}

// One piece from read to write; the buffers belong to a worker and are reused.
class Recoder {
 public:
  void run(const tensor::TensorSource& source, const TensorInfo& from, const Piece& piece,
           format::GgufWriter& writer) {
    const DType type = writer.tensors()[piece.tensor].dtype;
    stored_.resize(static_cast<size_t>(piece.row_count * from.row_bytes()));
    source.read_rows(from, piece.row_begin, piece.row_count, stored_);
    values_.resize(static_cast<size_t>(piece.row_count * from.shape.cols()));
    codec::codec_for(from.dtype).decode(stored_, values_);
    const int64_t first = piece.row_begin * from.shape.cols();
    const codec::Codec& codec = codec::codec_for(type);
    if (const auto bad = codec.find_out_of_range(values_); bad) {
      refuse_value(source.place_of(from), first + *bad, values_[static_cast<size_t>(*bad)], type);
    }
    if (type == from.dtype) {
      writer.write_rows(piece.tensor, piece.row_begin, stored_);
      return;
    }
    encoded_.resize(
        static_cast<size_t>(piece.row_count * writer.tensors()[piece.tensor].row_bytes()));
    if (type == DType::q8_0) {
      encode_q8_plain(values_, encoded_);
    } else {
      codec.encode_row(values_, {}, encoded_);
    }
    writer.write_rows(piece.tensor, piece.row_begin, encoded_);
  }

 private:
  std::vector<std::byte> stored_, encoded_;
  std::vector<float> values_;
};

}  // namespace

uint64_t recode_memory(const std::vector<const TensorInfo*>& from,
                       const std::vector<TensorInfo>& to) {
  int64_t most = 0;
  for (size_t i = 0; i < from.size(); ++i) {
    const tensor::Shape& shape = from[i]->shape;
    const int64_t rows =
        std::min(shape.rows(), std::max<int64_t>(1, kPieceElements / shape.cols()));
    most = std::max(most, rows * (from[i]->row_bytes() + to[i].row_bytes() + 4 * shape.cols()));
  }
  return static_cast<uint64_t>(most);
}

void recode(const tensor::TensorSource& source, const std::vector<const TensorInfo*>& from,
            format::GgufWriter& writer, base::ThreadPool& pool, const std::string& stage) {
  CHECK(from.size() == writer.tensors().size());
  double total = 0;
  for (size_t i = 0; i < from.size(); ++i) {
    CHECK(from[i]->shape == writer.tensors()[i].shape);
    total += static_cast<double>(from[i]->bytes());
  }
  const std::vector<Piece> pieces = pieces_of(from);
  const auto ahead = static_cast<size_t>(pool.size());
  std::vector<Recoder> workers(ahead);
  base::Progress progress(stage, "bytes", total);
  pool.for_each(static_cast<int64_t>(pieces.size()), [&](int64_t index, int worker) {
    base::stop_if_interrupted();
    const auto i = static_cast<size_t>(index);
    if (i + ahead < pieces.size()) {
      const Piece& next = pieces[i + ahead];
      source.will_read(*from[next.tensor], next.row_begin, next.row_count);
    }
    const TensorInfo& tensor = *from[pieces[i].tensor];
    workers[static_cast<size_t>(worker)].run(source, tensor, pieces[i], writer);
    progress.add(static_cast<double>(pieces[i].row_count * tensor.row_bytes()), tensor.name);
  });
}

}  // namespace karat::exporting
