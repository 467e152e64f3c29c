#include "export/recode.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "base/text.h"
#include "codec/codec.h"
#include "export/q8_plain.h"
#include "tensor/pieces.h"

namespace karat::exporting {

using base::ErrorKind;
using base::fail;
using base::printable;
using tensor::DType;
using tensor::TensorInfo;

namespace {

// `place` is the file and the tensor.
[[noreturn]] void refuse_value(const std::string& place, int64_t row, int64_t column, float value,
                               DType type) {
  throw fail(
      ErrorKind::bad_input, "%s: row %lld, column %lld: %g cannot be stored as %s; %s",
      place.c_str(), static_cast<long long>(row), static_cast<long long>(column),
      static_cast<double>(value), std::string(tensor::info(type).name).c_str(),
      std::isfinite(value) ? "BF16 can hold it" : "the model is damaged or its training diverged");
}

// One piece from read to write; the buffers belong to a worker and are reused.
class Recoder {
 public:
  void run(const tensor::TensorSource& source, const TensorInfo& from, const tensor::Piece& piece,
           format::GgufWriter& writer, const RowEncoder& encode) {
    const TensorInfo& to = writer.tensors()[piece.tensor];
    stored_.resize(static_cast<size_t>(piece.row_count * from.row_bytes()));
    source.read_rows(from, piece.row_begin, piece.row_count, stored_);
    if (codec::find_codec(from.dtype) == nullptr) {
      CHECK(to.dtype == from.dtype);
      writer.write_rows(piece.tensor, piece.row_begin, stored_);
      return;
    }
    values_.resize(static_cast<size_t>(piece.row_count * from.shape.cols()));
    codec::codec_for(from.dtype).decode(stored_, values_);
    if (const auto bad = codec::codec_for(to.dtype).find_out_of_range(values_); bad) {
      const int64_t cols = from.shape.cols();
      refuse_value(source.place_of(from), piece.row_begin + *bad / cols, *bad % cols,
                   values_[static_cast<size_t>(*bad)], to.dtype);
    }
    if (to.dtype == from.dtype) {
      writer.write_rows(piece.tensor, piece.row_begin, stored_);
      return;
    }
    encoded_.resize(static_cast<size_t>(piece.row_count * to.row_bytes()));
    encode(piece.tensor, piece.row_begin, values_, encoded_);
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
    most = std::max(most, tensor::piece_rows(*from[i]) * (from[i]->row_bytes() + to[i].row_bytes() +
                                                          4 * from[i]->shape.cols()));
  }
  return static_cast<uint64_t>(most);
}

void recode(const tensor::TensorSource& source, const std::vector<const TensorInfo*>& from,
            format::GgufWriter& writer, base::ThreadPool& pool, const std::string& stage,
            const RowEncoder& encode) {
  CHECK(from.size() == writer.tensors().size());
  double total = 0;
  for (size_t i = 0; i < from.size(); ++i) {
    CHECK(from[i]->shape == writer.tensors()[i].shape);
    total += static_cast<double>(from[i]->bytes());
  }
  const std::vector<tensor::Piece> pieces = tensor::pieces_of(from);
  const auto ahead = static_cast<size_t>(pool.size());
  std::vector<Recoder> workers(ahead);
  base::Progress progress(stage, "bytes", total);
  pool.for_each(static_cast<int64_t>(pieces.size()), [&](int64_t index, int worker) {
    base::stop_if_interrupted();
    const auto i = static_cast<size_t>(index);
    if (i + ahead < pieces.size()) {
      const tensor::Piece& next = pieces[i + ahead];
      source.will_read(*from[next.tensor], next.row_begin, next.row_count);
    }
    const tensor::Piece& piece = pieces[i];
    const TensorInfo& tensor = *from[piece.tensor];
    workers[static_cast<size_t>(worker)].run(source, tensor, piece, writer, encode);
    progress.add(static_cast<double>(piece.row_count * tensor.row_bytes()), tensor.name);
  });
}

RowEncoder plain_encoder(const format::GgufWriter& writer) {
  return
      [&writer](size_t tensor, int64_t, std::span<const float> values, std::span<std::byte> out) {
        const DType type = writer.tensors()[tensor].dtype;
        if (type == DType::q8_0) {
          encode_q8_plain(values, out);
        } else {
          codec::codec_for(type).encode_row(values, {}, out);
        }
      };
}

}  // namespace karat::exporting
