#include "export/recode.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <mutex>

#include "base/error.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "base/text.h"
#include "codec/codec.h"
#include "export/q8_plain.h"
#include "export/range_check.h"
#include "tensor/pieces.h"

namespace karat::exporting {

using base::ErrorKind;
using base::fail;
using base::printable;
using tensor::DType;
using tensor::TensorInfo;

namespace {

// A save syncs, so it costs what the disk is behind: the next one is due when the work since took
// this many times as long, and after a minute at the latest.
constexpr int kWorkPerSave = 50;
constexpr std::chrono::minutes kSaveAtLatest{1};

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

// Which pieces are done, and when that is worth a checkpoint.
class Done {
 public:
  Done(size_t pieces, format::GgufWriter& writer, const RecodeOptions& options)
      : flags_(pieces),
        writer_(writer),
        checkpoint_(options.checkpoint),
        units_before_(options.units_before) {
    if (checkpoint_ != nullptr && checkpoint_->done() > units_before_) {
      first_open_ = saved_ = checkpoint_->done() - units_before_;
    }
  }

  size_t first_open() const { return first_open_; }

  void note(size_t piece) {
    const std::lock_guard lock(mutex_);
    flags_[piece] = true;
    while (first_open_ < flags_.size() && flags_[first_open_]) ++first_open_;
  }

  // One thread saves, the others go on.
  void save_if_due() {
    if (checkpoint_ == nullptr) return;
    const std::unique_lock lock(saving_, std::try_to_lock);
    if (lock.owns_lock() && Clock::now() >= due_) save();
  }

  void save() {
    size_t done = 0;
    {
      const std::lock_guard lock(mutex_);
      done = first_open_;
    }
    if (done == saved_) return;
    const Clock::time_point start = Clock::now();
    writer_.sync();
    checkpoint_->save(units_before_ + done);
    writer_.keep_partial();
    saved_ = done;
    const Clock::time_point end = Clock::now();
    due_ = end + std::min<Clock::duration>(kWorkPerSave * (end - start), kSaveAtLatest);
  }

 private:
  using Clock = std::chrono::steady_clock;

  std::mutex mutex_, saving_;
  std::vector<bool> flags_;  // guarded by mutex_, as first_open_
  size_t first_open_ = 0;
  format::GgufWriter& writer_;
  Checkpoint* checkpoint_;
  uint64_t units_before_;
  size_t saved_ = 0;            // guarded by saving_, as due_
  Clock::time_point due_ = {};  // at once, for the first
};

double bytes_of(const std::vector<tensor::Piece>& pieces,
                const std::vector<const TensorInfo*>& tensors) {
  double sum = 0;
  for (const tensor::Piece& piece : pieces) {
    sum += static_cast<double>(piece.row_count * tensors[piece.tensor]->row_bytes());
  }
  return sum;
}

// The pieces in the source's order, so that files are read from front to back.
std::vector<tensor::Piece> pieces_in_order(const tensor::TensorSource& source,
                                           const std::vector<const TensorInfo*>& from,
                                           const std::vector<size_t>& left_out) {
  std::vector<tensor::Piece> pieces = tensor::pieces_of(from);
  std::erase_if(pieces, [&](const tensor::Piece& piece) {
    return std::find(left_out.begin(), left_out.end(), piece.tensor) != left_out.end();
  });
  const TensorInfo* first = source.tensors().data();
  std::stable_sort(pieces.begin(), pieces.end(),
                   [&](const tensor::Piece& a, const tensor::Piece& b) {
                     return from[a.tensor] - first < from[b.tensor] - first;
                   });
  return pieces;
}

// Notes in the writer what an earlier run has done; its bytes of input.
double take_up(const std::vector<tensor::Piece>& pieces, size_t done,
               const std::vector<const TensorInfo*>& from, format::GgufWriter& writer) {
  if (done > pieces.size()) {
    throw fail(ErrorKind::internal, "a checkpoint of %zu pieces, there are %zu", done,
               pieces.size());
  }
  double bytes = 0;
  for (size_t i = 0; i < done; ++i) {
    const tensor::Piece& piece = pieces[i];
    writer.note_rows(piece.tensor, piece.row_begin, piece.row_begin + piece.row_count);
    bytes += static_cast<double>(piece.row_count * from[piece.tensor]->row_bytes());
  }
  return bytes;
}

}  // namespace

uint64_t recode_memory(const std::vector<const TensorInfo*>& from,
                       const std::vector<TensorInfo>& to) {
  int64_t most = 0;
  for (size_t i = 0; i < from.size(); ++i) {
    const int64_t rows = tensor::piece_rows(*from[i]);
    most = std::max(most,
                    rows * (from[i]->row_bytes() + to[i].row_bytes() + 4 * from[i]->shape.cols()));
  }
  return static_cast<uint64_t>(most);
}

void recode(const tensor::TensorSource& source, const std::vector<const TensorInfo*>& from,
            format::GgufWriter& writer, base::ThreadPool& pool, const RecodeOptions& options,
            const RowEncoder& encode) {
  CHECK(from.size() == writer.tensors().size());
  for (size_t i = 0; i < from.size(); ++i) CHECK(from[i]->shape == writer.tensors()[i].shape);
  const std::vector<tensor::Piece> pieces = pieces_in_order(source, from, options.left_out);
  Done done(pieces.size(), writer, options);
  const size_t begin = done.first_open();
  const double total = bytes_of(pieces, from);
  double before = take_up(pieces, begin, from, writer);
  if (begin > 0) {
    writer.keep_partial();
    base::info("going on where the last run stopped, at %.0f %%", 100 * before / total);
  } else {
    check_f16_range(source, from, writer.tensors(), pool);
  }
  const auto ahead = static_cast<size_t>(pool.size());
  std::vector<Recoder> workers(ahead);
  std::atomic<double> read = before;
  {
    base::Progress progress(options.stage, "bytes", total - before);
    pool.for_each(static_cast<int64_t>(pieces.size() - begin), [&](int64_t index, int worker) {
      if (options.checkpoint == nullptr) base::stop_if_interrupted();
      if (base::pending_signal() != 0) return;
      const size_t i = begin + static_cast<size_t>(index);
      if (i + ahead < pieces.size()) {
        const tensor::Piece& next = pieces[i + ahead];
        source.will_read(*from[next.tensor], next.row_begin, next.row_count);
      }
      const tensor::Piece& piece = pieces[i];
      const TensorInfo& tensor = *from[piece.tensor];
      workers[static_cast<size_t>(worker)].run(source, tensor, piece, writer, encode);
      const auto bytes = static_cast<double>(piece.row_count * tensor.row_bytes());
      progress.add(bytes, tensor.name);
      done.note(i);
      done.save_if_due();
      if (options.alongside) options.alongside((read += bytes) / total);
    });
  }
  if (base::pending_signal() == 0) return;
  if (options.checkpoint == nullptr) base::stop_if_interrupted();
  done.save();
  base::info("stopped; the same command goes on from here");
  base::stop_if_interrupted();
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
