#include "eval/compare.h"

#include <algorithm>
#include <cmath>
#include <span>

#include "base/error.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "base/text.h"
#include "codec/codec.h"
#include "tensor/pieces.h"

namespace karat::eval {

namespace {

using base::ErrorKind;
using base::fail;
using base::printable;
using tensor::Importance;
using tensor::Piece;
using tensor::TensorInfo;
using tensor::TensorSource;

// ggml's writers drop leading dimensions of 1.
bool same_shape(const tensor::Shape& a, const tensor::Shape& b) {
  const auto without_ones = [](const tensor::Shape& shape) {
    const std::vector<int64_t>& dims = shape.dims();
    const auto first = std::find_if(dims.begin(), dims.end(), [](int64_t n) { return n != 1; });
    return std::vector<int64_t>(first, dims.end());
  };
  return a == b || (a.cols() == b.cols() && without_ones(a) == without_ones(b));
}

// The larger of two, or the one that is NaN.
double larger(double a, double b) { return std::isnan(a) || a >= b ? a : b; }

void add(TensorError& sum, const TensorError& part) {
  sum.error_sq += part.error_sq;
  sum.norm_sq += part.norm_sq;
  sum.other_norm_sq += part.other_norm_sq;
  sum.dot += part.dot;
  sum.max_abs = larger(sum.max_abs, part.max_abs);
}

// `weights` is empty or has one per column.
TensorError error_of(std::span<const float> a, std::span<const float> b, size_t cols,
                     std::span<const float> weights) {
  TensorError sum;
  for (size_t row = 0; row < a.size(); row += cols) {
    for (size_t c = 0; c < cols; ++c) {
      const double x = static_cast<double>(a[row + c]), y = static_cast<double>(b[row + c]);
      const double w = weights.empty() ? 1.0 : static_cast<double>(weights[c]);
      const double difference = y - x;
      sum.error_sq += w * difference * difference;
      sum.norm_sq += w * x * x;
      sum.other_norm_sq += w * y * y;
      sum.dot += w * x * y;
      sum.max_abs = larger(sum.max_abs, std::abs(difference));
    }
  }
  return sum;
}

bool has_codecs(const TensorInfo& a, const TensorInfo& b) {
  return codec::find_codec(a.dtype) != nullptr && codec::find_codec(b.dtype) != nullptr;
}

struct PieceErrors {
  TensorError error, against;
};

// Reads and decodes one run of rows of each source; the buffers belong to a worker.
class Measurer {
 public:
  PieceErrors run(const TensorPair& pair, const Piece& piece, const TensorSource& a,
                  const TensorSource& b, const TensorSource* against,
                  std::span<const float> weights) {
    const auto cols = static_cast<size_t>(pair.a->shape.cols());
    PieceErrors errors;
    read(a, *pair.a, piece, base_);
    if (pair.error) {
      read(b, *pair.b, piece, other_);
      errors.error = error_of(base_, other_, cols, weights);
    }
    if (pair.against_error) {
      read(*against, *pair.against, piece, other_);
      errors.against = error_of(base_, other_, cols, weights);
    }
    return errors;
  }

 private:
  void read(const TensorSource& source, const TensorInfo& tensor, const Piece& piece,
            std::vector<float>& values) {
    stored_.resize(static_cast<size_t>(piece.row_count * tensor.row_bytes()));
    source.read_rows(tensor, piece.row_begin, piece.row_count, stored_);
    values.resize(static_cast<size_t>(piece.row_count * tensor.shape.cols()));
    codec::codec_for(tensor.dtype).decode(stored_, values);
  }

  std::vector<std::byte> stored_;
  std::vector<float> base_, other_;
};

void read_ahead(const TensorPair& pair, const Piece& piece, const TensorSource& a,
                const TensorSource& b) {
  a.will_read(*pair.a, piece.row_begin, piece.row_count);
  b.will_read(*pair.b, piece.row_begin, piece.row_count);
}

const tensor::ImportanceEntry* entry_of(const Importance* importance, const TensorInfo& tensor) {
  if (importance == nullptr) return nullptr;
  const auto at = importance->entries.find(tensor.name);
  if (at == importance->entries.end()) return nullptr;
  const tensor::ImportanceEntry& entry = at->second;
  if (entry.cols != tensor.shape.cols() || entry.mats != tensor.shape.experts()) {
    throw fail(ErrorKind::bad_input,
               "%s: its entry '%s' has %lld x %lld columns, the tensor %lld x %lld; it was made "
               "for another model",
               printable(importance->file).c_str(), printable(tensor.name).c_str(),
               static_cast<long long>(entry.mats), static_cast<long long>(entry.cols),
               static_cast<long long>(tensor.shape.experts()),
               static_cast<long long>(tensor.shape.cols()));
  }
  return &entry;
}

std::string shown(const format::Value* value) { return value == nullptr ? "" : value->str(); }

}  // namespace

double TensorError::relative_rms() const {
  return error_sq == 0 ? 0 : std::sqrt(error_sq / norm_sq);
}

double TensorError::cosine() const {
  if (norm_sq == 0 && other_norm_sq == 0) return 1;
  return dot / std::sqrt(norm_sq * other_norm_sq);
}

std::optional<double> TensorPair::ratio() const {
  if (!error || !against_error) return std::nullopt;
  const double ours = error->relative_rms(), theirs = against_error->relative_rms();
  if (ours == 0 && theirs == 0) return std::nullopt;
  return ours / theirs;
}

TensorTable match_tensors(const TensorSource& a, const TensorSource& b,
                          const TensorSource* against) {
  TensorTable table;
  for (const TensorInfo& tensor : a.tensors()) {
    TensorPair pair;
    pair.a = &tensor;
    pair.b = b.find(tensor.name);
    if (pair.b == nullptr) {
      table.only_a.push_back(tensor.name);
      continue;
    }
    if (!same_shape(tensor.shape, pair.b->shape)) {
      table.other_shapes.push_back(pair);
      continue;
    }
    if (against != nullptr) pair.against = against->find(tensor.name);
    if (pair.against != nullptr && !same_shape(tensor.shape, pair.against->shape)) {
      pair.against = nullptr;
    }
    table.pairs.push_back(pair);
  }
  for (const TensorInfo& tensor : b.tensors()) {
    if (a.find(tensor.name) == nullptr) table.only_b.push_back(tensor.name);
  }
  return table;
}

void measure_errors(TensorTable& table, const TensorSource& a, const TensorSource& b,
                    const TensorSource* against, const Importance* importance,
                    base::ThreadPool& pool) {
  std::vector<const TensorInfo*> tensors;
  std::vector<const tensor::ImportanceEntry*> entries;
  double total = 0;
  for (TensorPair& pair : table.pairs) {
    if (has_codecs(*pair.a, *pair.b)) pair.error.emplace();
    if (pair.against != nullptr && has_codecs(*pair.a, *pair.against)) pair.against_error.emplace();
    entries.push_back(entry_of(importance, *pair.a));
    pair.weighted = entries.back() != nullptr;
    tensors.push_back(pair.a);
    total += static_cast<double>(pair.a->bytes());
  }
  const std::vector<Piece> pieces = tensor::pieces_of(tensors);
  std::vector<PieceErrors> errors(pieces.size());
  std::vector<Measurer> workers(static_cast<size_t>(pool.size()));
  base::Progress progress("compare", "bytes", total);
  pool.for_each(static_cast<int64_t>(pieces.size()), [&](int64_t index, int worker) {
    base::stop_if_interrupted();
    const auto ahead = static_cast<size_t>(index) + workers.size();
    if (ahead < pieces.size()) read_ahead(table.pairs[pieces[ahead].tensor], pieces[ahead], a, b);
    const Piece& piece = pieces[static_cast<size_t>(index)];
    const TensorPair& pair = table.pairs[piece.tensor];
    progress.add(static_cast<double>(piece.row_count * pair.a->row_bytes()), pair.a->name);
    if (!pair.error && !pair.against_error) return;
    std::vector<float> weights;
    if (entries[piece.tensor] != nullptr) {
      const tensor::Shape& shape = pair.a->shape;
      weights = tensor::mean_squares(*entries[piece.tensor],
                                     piece.row_begin / (shape.rows() / shape.experts()));
    }
    errors[static_cast<size_t>(index)] =
        workers[static_cast<size_t>(worker)].run(pair, piece, a, b, against, weights);
  });
  for (size_t i = 0; i < pieces.size(); ++i) {
    TensorPair& pair = table.pairs[pieces[i].tensor];
    if (pair.error) add(*pair.error, errors[i].error);
    if (pair.against_error) add(*pair.against_error, errors[i].against);
  }
}

uint64_t compare_memory(const TensorTable& table, int threads) {
  int64_t most = 0, pieces = 0;
  for (const TensorPair& pair : table.pairs) {
    const int64_t rows = tensor::piece_rows(*pair.a);
    int64_t row_bytes = std::max(pair.a->row_bytes(), pair.b->row_bytes());
    if (pair.against != nullptr) row_bytes = std::max(row_bytes, pair.against->row_bytes());
    most = std::max(most, rows * (row_bytes + 8 * pair.a->shape.cols()));
    if (rows > 0) pieces += pair.a->shape.rows() / rows + pair.a->shape.experts();
  }
  return static_cast<uint64_t>(threads * most) +
         static_cast<uint64_t>(pieces) * (sizeof(Piece) + sizeof(PieceErrors));
}

std::vector<MetadataDifference> metadata_differences(const format::Metadata& a,
                                                     const format::Metadata& b) {
  std::vector<MetadataDifference> out;
  for (const format::Metadata::Entry& entry : a.entries()) {
    const format::Value* other = b.find(entry.key);
    if (other != nullptr && *other == entry.value) continue;
    MetadataDifference difference{entry.key, entry.value.str(), shown(other)};
    // Values that listings cut before they differ.
    if (difference.a == difference.b) difference.b += " (differs further on)";
    out.push_back(std::move(difference));
  }
  for (const format::Metadata::Entry& entry : b.entries()) {
    if (!a.has(entry.key)) out.push_back({entry.key, "", entry.value.str()});
  }
  return out;
}

}  // namespace karat::eval
