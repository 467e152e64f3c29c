#include "recipe/sequential.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "base/error.h"
#include "base/log.h"
#include "base/text.h"
#include "calib/hessian.h"
#include "codec/codec.h"
#include "exec/stream.h"
#include "model/names.h"
#include "recipe/encode.h"
#include "rounding/encode.h"
#include "rounding/quadratic.h"

namespace karat::recipe {

using base::ErrorKind;
using base::fail;

namespace {

// Added to the Hessian's diagonal, of its mean.
constexpr double kDamping = 0.03;

// Every so many-th sequence is held out: what is chosen by the others is accepted by it.
constexpr int64_t kHeldOut = 8;

// Shows the rows of held-out sequences to one tap and the others to another.
class SplitTap : public model::Tap {
 public:
  SplitTap(model::Tap& chosen_by, model::Tap& held_out) : taps_{&chosen_by, &held_out} {}

  void linear_input(const model::LinearInput& input) override {
    for (int64_t first = 0; first < input.count;) {
      const bool held = is_held(input, first);
      int64_t end = first + 1;
      while (end < input.count && is_held(input, end) == held) ++end;
      const auto begin = static_cast<size_t>(first), count = static_cast<size_t>(end - first);
      model::LinearInput part = input;
      part.rows = input.rows + first * input.ld;
      part.count = end - first;
      part.origins = input.origins.subspan(begin, count);
      if (!input.gate_weights.empty()) part.gate_weights = input.gate_weights.subspan(begin, count);
      if (!input.ranks.empty()) part.ranks = input.ranks.subspan(begin, count);
      taps_[held ? 1 : 0]->linear_input(part);
      first = end;
    }
  }

 private:
  static bool is_held(const model::LinearInput& input, int64_t row) {
    return input.origins[static_cast<size_t>(row)].sequence % kHeldOut == kHeldOut - 1;
  }
  std::array<model::Tap*, 2> taps_;
};

// A model of which one block's tensors are encoded, in memory, and the rest is the original's.
class EncodedBlock : public tensor::TensorSource {
 public:
  explicit EncodedBlock(const tensor::TensorSource& original)
      : original_(original), tensors_(original.tensors()), bytes_(tensors_.size()) {}

  // Room for a tensor of another type, zeros at first.
  std::span<std::byte> replace(size_t index, tensor::DType type) {
    tensors_[index].dtype = type;
    bytes_[index].resize(static_cast<size_t>(tensors_[index].bytes()));
    return bytes_[index];
  }
  std::span<std::byte> bytes(size_t index) { return bytes_[index]; }
  bool has(size_t index) const { return !bytes_[index].empty(); }

  const std::vector<tensor::TensorInfo>& tensors() const override { return tensors_; }
  std::string origin() const override { return original_.origin(); }
  void read_rows(const tensor::TensorInfo& tensor, int64_t row_begin, int64_t row_count,
                 std::span<std::byte> out) const override {
    const auto index = static_cast<size_t>(find(tensor.name) - tensors_.data());
    if (bytes_[index].empty()) {
      original_.read_rows(original_.tensors()[index], row_begin, row_count, out);
      return;
    }
    const auto row_bytes = static_cast<size_t>(tensors_[index].row_bytes());
    const auto part = std::span(bytes_[index])
                          .subspan(static_cast<size_t>(row_begin) * row_bytes,
                                   static_cast<size_t>(row_count) * row_bytes);
    std::copy(part.begin(), part.end(), out.begin());
  }

 private:
  const tensor::TensorSource& original_;
  std::vector<tensor::TensorInfo> tensors_;
  std::vector<std::vector<std::byte>> bytes_;
};

class BlockEncoder {
 public:
  // `ends` as exec::LayerStream's; all must outlive it.
  BlockEncoder(const tensor::TensorSource& source, const QuantizePlan& plan,
               const tensor::Importance* importance, const model::Config& config,
               std::span<const int64_t> ends, format::GgufWriter& writer, base::ThreadPool& pool)
      : source_(source),
        plan_(plan),
        importance_(importance),
        writer_(writer),
        pool_(pool),
        chosen_by_(config, ends, pool),
        held_out_(config, ends, pool) {
    for (const size_t i : hessian_tensors(source, plan)) {
      by_name_[plan.tensors[i].out.name] = i;
      by_layer_[model::layer_of(plan.tensors[i].out.name)].push_back(i);
    }
  }

  // Encodes the tensors of the stream's next stage.
  void encode(exec::LayerStream& stream, EncodedBlock& block) {
    const int64_t layer = stream.next();
    plain_.clear();
    for (const size_t i : by_layer_[layer]) {
      const auto room = block.replace(plan_.tensors[i].source_index, plan_.tensors[i].out.dtype);
      plain_[i].resize(room.size());
    }
    SplitTap split(chosen_by_, held_out_);
    stream.observe(split, nullptr);
    chosen_by_.consume([&](const calib::Hessian& hessian) { encode(hessian, block); });
    kept_ = matrices_ = 0, log_ratio_ = 0;
    held_out_.consume([&](const calib::Hessian& hessian) { accept(hessian, block); });
    if (matrices_ > 0) {
      base::info(
          "block %lld: held-out error of the outputs %.3f of that with importance alone; "
          "%lld of %lld matrices keep that",
          static_cast<long long>(layer), std::exp(log_ratio_ / static_cast<double>(matrices_)),
          static_cast<long long>(kept_), static_cast<long long>(matrices_));
    }
    for (const size_t i : by_layer_[layer]) {
      writer_.write(i, block.bytes(plan_.tensors[i].source_index));
    }
  }

  // Notes in the writer that a block has been written by an earlier run.
  void note(int64_t layer) {
    for (const size_t i : by_layer_[layer]) {
      writer_.note_rows(i, 0, plan_.tensors[i].out.shape.rows());
    }
  }

 private:
  void encode(const calib::Hessian& hessian, EncodedBlock& block) {
    rounding::Quadratic quadratic;
    for (const std::string& name : hessian.weights) {
      const auto found = by_name_.find(name);
      if (found == by_name_.end()) continue;
      if (quadratic.columns == 0) {
        quadratic = rounding::make_quadratic(hessian.values, hessian.columns, kDamping, pool_);
      }
      encode(found->second, std::max<int64_t>(hessian.expert, 0), quadratic, block);
    }
  }

  // Which part of a tensor is a matrix.
  struct Matrix {
    int64_t first, rows;  // among the tensor's rows
    size_t begin, bytes;  // among its encoded bytes
  };
  static Matrix matrix_of(const TensorPlan& tensor, int64_t expert) {
    const tensor::Shape& shape = tensor.out.shape;
    const int64_t rows = shape.rows() / shape.experts();
    const auto bytes = static_cast<size_t>(rows * tensor.out.row_bytes());
    return {expert * rows, rows, static_cast<size_t>(expert) * bytes, bytes};
  }

  void encode(size_t index, int64_t expert, const rounding::Quadratic& quadratic,
              EncodedBlock& block) {
    const TensorPlan& tensor = plan_.tensors[index];
    const Matrix matrix = matrix_of(tensor, expert);
    const std::vector<float> weights = read(tensor, matrix.first, matrix.rows);
    const codec::Codec& codec = codec::codec_for(tensor.out.dtype);
    rounding::encode_rows(codec, quadratic, weights,
                          block.bytes(tensor.source_index).subspan(matrix.begin, matrix.bytes),
                          pool_);
    std::vector<float> importance;
    if (tensor.weighted) {
      importance = tensor::mean_squares(importance_->entries.at(tensor.out.name), expert);
    }
    const int64_t cols = tensor.out.shape.cols();
    const auto row_bytes = static_cast<size_t>(tensor.out.row_bytes());
    const auto out = std::span(plain_[index]).subspan(matrix.begin, matrix.bytes);
    pool_.for_each(matrix.rows, [&](int64_t row, int) {
      const auto at = static_cast<size_t>(row);
      recipe::encode_rows(
          codec, cols,
          std::span(weights).subspan(at * static_cast<size_t>(cols), static_cast<size_t>(cols)),
          importance, out.subspan(at * row_bytes, row_bytes));
    });
  }

  // Takes the plain codes where they are no worse on held-out rows.
  void accept(const calib::Hessian& hessian, EncodedBlock& block) {
    std::vector<float> form;
    for (const std::string& name : hessian.weights) {
      const auto found = by_name_.find(name);
      if (found == by_name_.end()) continue;
      if (form.empty()) form = rounding::normalised(hessian.values, hessian.columns, 0, pool_);
      const TensorPlan& tensor = plan_.tensors[found->second];
      const Matrix matrix = matrix_of(tensor, std::max<int64_t>(hessian.expert, 0));
      const std::vector<float> weights = read(tensor, matrix.first, matrix.rows);
      const codec::Codec& codec = codec::codec_for(tensor.out.dtype);
      const auto full = block.bytes(tensor.source_index).subspan(matrix.begin, matrix.bytes);
      const auto plain = std::span(plain_[found->second]).subspan(matrix.begin, matrix.bytes);
      const auto error = [&](std::span<const std::byte> bytes) {
        return rounding::output_error(codec, form, hessian.columns, weights, bytes, pool_);
      };
      const double with_full = error(full), with_plain = error(plain);
      ++matrices_;
      if (with_full > 0 && with_plain > 0) {
        log_ratio_ += std::log(std::min(with_full / with_plain, 1.0));
      }
      if (with_full < with_plain) continue;
      std::copy(plain.begin(), plain.end(), full.begin());
      ++kept_;
    }
  }

  std::vector<float> read(const TensorPlan& tensor, int64_t first, int64_t rows) const {
    const tensor::TensorInfo& in = source_.tensors()[tensor.source_index];
    std::vector<std::byte> stored(static_cast<size_t>(rows * in.row_bytes()));
    source_.read_rows(in, first, rows, stored);
    std::vector<float> values(static_cast<size_t>(rows * in.shape.cols()));
    codec::codec_for(in.dtype).decode(stored, values);
    const auto bad = codec::codec_for(tensor.out.dtype).find_out_of_range(values);
    if (!bad) return values;
    const int64_t cols = in.shape.cols();
    throw fail(ErrorKind::bad_input, "%s: row %lld, column %lld: %g cannot be stored as %s",
               source_.place_of(in).c_str(), static_cast<long long>(first + *bad / cols),
               static_cast<long long>(*bad % cols),
               static_cast<double>(values[static_cast<size_t>(*bad)]),
               std::string(tensor::info(tensor.out.dtype).name).c_str());
  }

  const tensor::TensorSource& source_;
  const QuantizePlan& plan_;
  const tensor::Importance* importance_;
  format::GgufWriter& writer_;
  base::ThreadPool& pool_;
  calib::HessianTap chosen_by_, held_out_;  // of one block at a time
  std::map<std::string, size_t> by_name_;
  std::map<int64_t, std::vector<size_t>> by_layer_;
  std::map<size_t, std::vector<std::byte>> plain_;  // of the block's tensors, by plan index
  int64_t kept_ = 0, matrices_ = 0;
  double log_ratio_ = 0;
};

exec::StreamOptions stream_options(const HessianInputs& inputs) {
  return {.batch_tokens = inputs.batch_tokens, .with_mtp = inputs.config.mtp_layers > 0};
}

}  // namespace

std::vector<size_t> hessian_tensors(const tensor::TensorSource& source, const QuantizePlan& plan) {
  std::vector<size_t> indices;
  for (size_t i = 0; i < plan.tensors.size(); ++i) {
    const tensor::TensorInfo& out = plan.tensors[i].out;
    const bool encoded = tensor::info(out.dtype).quantized() &&
                         out.dtype != source.tensors()[plan.tensors[i].source_index].dtype;
    if (encoded && model::layer_of(out.name) >= 0) indices.push_back(i);
  }
  return indices;
}

int64_t hessian_stages(const model::Config& config) {
  return config.layers() + (config.mtp_layers > 0 ? 1 : 0);
}

uint64_t hessian_memory(const tensor::TensorSource& source, const QuantizePlan& plan,
                        const HessianInputs& inputs) {
  const int64_t tokens = inputs.corpus.tokens_used();
  std::map<int64_t, uint64_t> encoded;
  uint64_t most = 0;
  for (const size_t i : hessian_tensors(source, plan)) {
    const tensor::TensorInfo& out = plan.tensors[i].out;
    most = std::max(most, encoded[model::layer_of(out.name)] += static_cast<uint64_t>(out.bytes()));
  }
  return exec::LayerStream::memory(source, inputs.config, tokens, inputs.corpus.longest(),
                                   stream_options(inputs))
             .total() +
         2 * calib::HessianTap::bytes_needed(inputs.config, tokens) + 3 * most;
}

void encode_blocks(const tensor::TensorSource& source, const QuantizePlan& plan,
                   const tensor::Importance* importance, const HessianInputs& inputs,
                   format::GgufWriter& writer, HessianProgress* progress, base::ThreadPool& pool) {
  const calib::Corpus& corpus = inputs.corpus;
  const std::vector<int64_t> ends = corpus.all_ends();
  const auto tokens = std::span(corpus.tokens).first(static_cast<size_t>(corpus.tokens_used()));
  exec::LayerStream stream(source, inputs.config, tokens, ends, stream_options(inputs), pool);
  BlockEncoder encoder(source, plan, importance, inputs.config, ends, writer, pool);
  std::optional<int64_t> stage;
  if (progress != nullptr && progress->journal.done() > 0) {
    stage = progress->rows.take_up({}, stream.rows(), progress->force);
  }
  if (stage) {
    for (int64_t i = 0; i < *stage; ++i) encoder.note(i);
    writer.keep_partial();
    stream.start_at(*stage);
  } else {
    stream.start();
  }
  base::Progress report("encode blocks", "blocks", static_cast<double>(stream.stages()));
  report.skip(static_cast<double>(stream.next()));
  while (!stream.done()) {
    const int64_t layer = stream.next();
    EncodedBlock block(source);
    encoder.encode(stream, block);
    stream.replace_weights(block);
    stream.run(nullptr, nullptr);
    report.add(1, "block " + std::to_string(layer));
    if (progress == nullptr) continue;
    writer.sync();
    progress->journal.save(static_cast<uint64_t>(stream.next()));
    writer.keep_partial();
    progress->rows.save(stream.next(), {}, stream.rows());
  }
}

}  // namespace karat::recipe
