#include "recipe/quantize.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "base/error.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "base/text.h"
#include "codec/codec.h"
#include "format/gguf_writer.h"
#include "model/names.h"

namespace karat::recipe {

using base::ErrorKind;
using base::fail;
using tensor::DType;

namespace {

constexpr int64_t kChunkElements = int64_t{1} << 18;
constexpr format::GgufWriteOptions kWriteOptions{.drop_unit_dims = true};

void check_importance(const tensor::TensorSource& source, const tensor::Importance& importance) {
  const std::string file = importance.file.empty() ? "the importance" : importance.file;
  for (const auto& [name, entry] : importance.entries) {
    const tensor::TensorInfo* tensor = source.find(name);
    if (tensor == nullptr) continue;  // e.g. MTP statistics for a file without the block
    const bool fits = entry.cols == tensor->shape.cols() && entry.mats == tensor->shape.experts();
    if (!fits) {
      throw fail(ErrorKind::bad_input,
                 "%s: its entry '%s' has %lld x %lld columns, the tensor %lld x %lld; it was made "
                 "for another model",
                 base::printable(file).c_str(), base::printable(name).c_str(),
                 static_cast<long long>(entry.mats), static_cast<long long>(entry.cols),
                 static_cast<long long>(tensor->shape.experts()),
                 static_cast<long long>(tensor->shape.cols()));
    }
  }
  const bool any = std::any_of(importance.entries.begin(), importance.entries.end(),
                               [&](const auto& entry) { return source.find(entry.first); });
  if (!any) {
    throw fail(ErrorKind::bad_input,
               "%s: names none of the model's tensors; it was made for another model",
               base::printable(file).c_str());
  }
}

int64_t cold_experts(const tensor::ImportanceEntry& entry) {
  if (entry.counts.size() != static_cast<size_t>(entry.mats)) return 0;
  return std::count(entry.counts.begin(), entry.counts.end(), 0);
}

TensorPlan plan_tensor(const tensor::TensorSource& source, const TypeDecision& decision,
                       const tensor::Importance* importance) {
  const tensor::TensorInfo& in = source.tensors()[decision.tensor];
  TensorPlan plan;
  plan.source_index = decision.tensor;
  plan.out = {in.name, decision.type, in.shape};
  plan.from = in.dtype;
  plan.decided_by = decision.decided_by;
  if (tensor::info(in.dtype).quantized() && in.dtype != decision.type) {
    throw fail(ErrorKind::usage,
               "%s is already %s; quantize from the BF16 original (rounding twice costs quality)",
               source.place_of(in).c_str(), std::string(tensor::info(in.dtype).name).c_str());
  }
  if (in.dtype != decision.type && codec::find_codec(decision.type) == nullptr) {
    throw fail(ErrorKind::unsupported,
               "%s: %s (rows of %lld elements) cannot be written; choose Q8_0",
               source.place_of(in).c_str(), std::string(tensor::info(decision.type).name).c_str(),
               static_cast<long long>(in.shape.cols()));
  }
  if (importance != nullptr && tensor::info(decision.type).quantized()) {
    const auto entry = importance->entries.find(in.name);
    plan.weighted = entry != importance->entries.end();
    if (plan.weighted) plan.cold_experts = cold_experts(entry->second);
  }
  return plan;
}

// Mean squared input per column for one matrix, ready for the codec.
std::vector<float> mean_squares(const tensor::ImportanceEntry& entry, int64_t mat) {
  const size_t cols = static_cast<size_t>(entry.cols), begin = static_cast<size_t>(mat) * cols;
  const size_t count_index = entry.counts.size() > 1 ? static_cast<size_t>(mat) : 0;
  std::vector<float> values(cols);
  if (entry.counts[count_index] > 0) {
    const double count = static_cast<double>(entry.counts[count_index]);
    for (size_t c = 0; c < cols; ++c) {
      values[c] = static_cast<float>(entry.in_sum2[begin + c] / count);
    }
    return values;
  }
  // No rows reached this expert: the pooled mean of the others is the best guess at its inputs.
  double total = 0;
  for (const int64_t count : entry.counts) total += static_cast<double>(count);
  for (size_t c = 0; c < cols; ++c) {
    double sum = 0;
    for (int64_t m = 0; m < entry.mats; ++m)
      sum += entry.in_sum2[static_cast<size_t>(m) * cols + c];
    values[c] = total > 0 ? static_cast<float>(sum / total) : 1.0f;
  }
  return values;
}

struct Chunk {
  size_t tensor;  // index into the plan
  int64_t row_begin, rows;
};

// Row ranges of about kChunkElements elements that do not cross from one expert to the next.
std::vector<Chunk> chunks_of(const QuantizePlan& plan) {
  std::vector<Chunk> chunks;
  for (size_t t = 0; t < plan.tensors.size(); ++t) {
    const tensor::Shape& shape = plan.tensors[t].out.shape;
    const int64_t expert_rows = shape.rows() / shape.experts();
    const int64_t step = std::max<int64_t>(1, kChunkElements / shape.cols());
    for (int64_t expert = 0; expert < shape.experts(); ++expert) {
      for (int64_t row = 0; row < expert_rows; row += step) {
        chunks.push_back({t, expert * expert_rows + row, std::min(step, expert_rows - row)});
      }
    }
  }
  return chunks;
}

// One worker's buffers.
struct Scratch {
  std::vector<std::byte> in, out;
  std::vector<float> values;
};

// One pass over a chunk that lies in scratch.in, leaving what is to be written in scratch.out.
// `place` is the file and the tensor.
void encode_chunk(const tensor::TensorInfo& in, const tensor::TensorInfo& out, const Chunk& chunk,
                  std::span<const float> importance, const std::string& place, Scratch& scratch) {
  const int64_t cols = in.shape.cols();
  const codec::Codec &from = codec::codec_for(in.dtype), &to = codec::codec_for(out.dtype);
  const bool same_type = in.dtype == out.dtype;
  scratch.values.resize(static_cast<size_t>(cols));
  scratch.out.resize(static_cast<size_t>(chunk.rows * out.row_bytes()));
  const auto in_bytes = static_cast<size_t>(in.row_bytes()),
             out_bytes = static_cast<size_t>(out.row_bytes());
  for (int64_t r = 0; r < chunk.rows; ++r) {
    const auto row = static_cast<size_t>(r);
    const auto stored = std::span(scratch.in).subspan(row * in_bytes, in_bytes);
    const auto target = std::span(scratch.out).subspan(row * out_bytes, out_bytes);
    from.decode(stored, scratch.values);
    if (const auto column = to.find_out_of_range(scratch.values)) {
      const float value = scratch.values[static_cast<size_t>(*column)];
      throw fail(ErrorKind::bad_input, "%s: row %lld, column %lld: %g cannot be stored as %s; %s",
                 place.c_str(), static_cast<long long>(chunk.row_begin + r),
                 static_cast<long long>(*column), static_cast<double>(value),
                 std::string(tensor::info(out.dtype).name).c_str(),
                 std::isfinite(value) ? "BF16 can hold it"
                                      : "the model is damaged or its training diverged");
    }
    if (same_type) {
      std::copy(stored.begin(), stored.end(), target.begin());
    } else {
      to.encode_row(scratch.values, importance, target);
    }
  }
}

}  // namespace

double QuantizePlan::bits_per_weight() const {
  return elements == 0 ? 0 : 8.0 * static_cast<double>(data_bytes) / static_cast<double>(elements);
}

QuantizePlan plan_quantize(const tensor::TensorSource& source, const model::Config& config,
                           const Preset& preset, const MixtureOptions& options,
                           const tensor::Importance* importance) {
  if (importance != nullptr) check_importance(source, *importance);
  QuantizePlan plan;
  plan.preset = preset;
  for (const TypeDecision& decision : decide_types(source, config, preset, options)) {
    plan.tensors.push_back(plan_tensor(source, decision, importance));
    const TensorPlan& tensor = plan.tensors.back();
    plan.data_bytes += static_cast<uint64_t>(tensor.out.bytes());
    plan.elements += tensor.out.shape.elements();
    if (importance != nullptr && tensor::info(tensor.out.dtype).quantized() && !tensor.weighted) {
      plan.uncovered.push_back(tensor.out.name);
    }
  }
  return plan;
}

format::Metadata quantized_metadata(format::Metadata input, const Preset& preset,
                                    const format::Metadata& extra) {
  input.set("general.quantization_version", uint32_t{2});
  input.set("general.file_type", preset.file_type);
  for (const format::Metadata::Entry& entry : extra.entries()) input.set(entry.key, entry.value);
  return input;
}

uint64_t quantized_file_bytes(const QuantizePlan& plan, const format::Metadata& metadata) {
  std::vector<tensor::TensorInfo> tensors;
  for (const TensorPlan& tensor : plan.tensors) tensors.push_back(tensor.out);
  return format::GgufLayout(metadata, tensors, kWriteOptions).file_bytes();
}

uint64_t quantize_memory(const tensor::TensorSource& source, const QuantizePlan& plan,
                         const tensor::Importance* importance, int threads) {
  int64_t worker = 0;
  for (const TensorPlan& tensor : plan.tensors) {
    const tensor::TensorInfo& in = source.tensors()[tensor.source_index];
    const int64_t cols = in.shape.cols();
    const int64_t rows = std::min(in.shape.rows(), std::max<int64_t>(1, kChunkElements / cols));
    worker = std::max(worker, rows * (in.row_bytes() + tensor.out.row_bytes()) + 8 * cols);
  }
  uint64_t bytes = static_cast<uint64_t>(threads) * static_cast<uint64_t>(worker);
  if (importance == nullptr) return bytes;
  for (const auto& [name, entry] : importance->entries) {
    bytes += 8 * (entry.in_sum2.size() + entry.in_sum.size() + entry.counts.size());
  }
  return bytes;
}

void run_quantize(const tensor::TensorSource& source, const QuantizePlan& plan,
                  const tensor::Importance* importance, const format::Metadata& metadata,
                  const std::string& out, base::ThreadPool& pool,
                  const std::function<void(const std::string&)>& before_commit) {
  std::vector<tensor::TensorInfo> tensors;
  for (const TensorPlan& tensor : plan.tensors) tensors.push_back(tensor.out);
  format::GgufWriter writer(out, metadata, tensors, kWriteOptions);
  const std::vector<Chunk> chunks = chunks_of(plan);
  double total = 0;
  for (const TensorPlan& tensor : plan.tensors) {
    total += static_cast<double>(source.tensors()[tensor.source_index].bytes());
  }
  base::Progress progress("quantize", "bytes", total);
  std::vector<Scratch> scratch(static_cast<size_t>(pool.size()));
  pool.for_each(static_cast<int64_t>(chunks.size()), [&](int64_t index, int worker) {
    base::stop_if_interrupted();
    const Chunk& chunk = chunks[static_cast<size_t>(index)];
    const TensorPlan& tensor = plan.tensors[chunk.tensor];
    const tensor::TensorInfo& in = source.tensors()[tensor.source_index];
    Scratch& s = scratch[static_cast<size_t>(worker)];
    s.in.resize(static_cast<size_t>(chunk.rows * in.row_bytes()));
    source.read_rows(in, chunk.row_begin, chunk.rows, s.in);
    std::vector<float> weights;
    if (tensor.weighted && in.dtype != tensor.out.dtype) {
      const int64_t expert = chunk.row_begin / (in.shape.rows() / in.shape.experts());
      weights = mean_squares(importance->entries.at(in.name), expert);
    }
    if (codec::find_codec(in.dtype) == nullptr) {  // kept as it is
      writer.write_rows(chunk.tensor, chunk.row_begin, s.in);
    } else {
      encode_chunk(in, tensor.out, chunk, weights, source.place_of(in), s);
      writer.write_rows(chunk.tensor, chunk.row_begin, s.out);
    }
    progress.add(static_cast<double>(s.in.size()), in.name);
  });
  writer.finish();
  if (before_commit) before_commit(writer.partial_paths().front());
  writer.commit();
}

}  // namespace karat::recipe
