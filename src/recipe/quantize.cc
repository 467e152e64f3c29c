#include "recipe/quantize.h"

#include <algorithm>
#include <memory>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "codec/codec.h"
#include "export/recode.h"
#include "format/gguf_writer.h"
#include "model/names.h"
#include "recipe/encode.h"
#include "recipe/sequential.h"

namespace karat::recipe {

using base::ErrorKind;
using base::fail;
using tensor::DType;

namespace {

format::GgufWriteOptions write_options(const std::vector<size_t>& shard_tensors) {
  return {.drop_unit_dims = true, .shard_tensors = shard_tensors};
}

void check_importance(const tensor::TensorSource& source, const tensor::Importance& importance) {
  const std::string file = importance.file.empty() ? "the importance" : importance.file;
  for (const auto& [name, entry] : importance.entries) {
    const tensor::TensorInfo* tensor = source.find(name);
    if (tensor == nullptr) continue;  // e.g. MTP statistics for a file without the block
    if (name == model::kTokenEmbd) continue;
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
  plan.requires_imatrix = decision.requires_imatrix;
  if (importance != nullptr && tensor::info(decision.type).quantized()) {
    const auto entry = importance->entries.find(in.name);
    plan.weighted = entry != importance->entries.end() && entry->second.cols == in.shape.cols() &&
                    entry->second.mats == in.shape.experts();
    if (plan.weighted) plan.cold_experts = cold_experts(entry->second);
  }
  return plan;
}

// Encodes rows of the plan's tensors, with the mean squares of their expert where there are any.
class WeightedEncoder {
 public:
  WeightedEncoder(const QuantizePlan& plan, const tensor::Importance* importance)
      : plan_(plan), importance_(importance) {}

  void operator()(size_t index, int64_t row_begin, std::span<const float> values,
                  std::span<std::byte> out) const {
    const TensorPlan& tensor = plan_.tensors[index];
    const tensor::Shape& shape = tensor.out.shape;
    std::vector<float> weights;
    if (tensor.weighted) {
      const int64_t expert = row_begin / (shape.rows() / shape.experts());
      weights = tensor::mean_squares(importance_->entries.at(tensor.out.name), expert);
    }
    const codec::Codec& codec = codec::codec_for(tensor.out.dtype);
    encode_rows(codec, shape.cols(), values, weights, out);
  }

 private:
  const QuantizePlan& plan_;
  const tensor::Importance* importance_;
};

// Gives the partial files of the shards behind the first their full size, which they have from the
// start of a run; false if one had not.
bool complete_shards(format::GgufWriter& writer) {
  const auto& shards = writer.layout().shards();
  bool complete = true;
  for (size_t i = 1; i < shards.size(); ++i) {
    if (base::File(writer.file(i).partial_path()).size() == shards[i].file_bytes) continue;
    writer.file(i).truncate(shards[i].file_bytes);
    complete = false;
  }
  return complete;
}

// The journal stands behind the first shard. Where another one is not whole, what it says does not
// hold.
std::unique_ptr<exporting::Checkpoint> open_checkpoint(format::GgufWriter& writer,
                                                       const QuantizeRun& run) {
  const auto open = [&] {
    return std::make_unique<exporting::Checkpoint>(
        writer.file(0), writer.layout().shards()[0].file_bytes, run.fingerprint, run.force);
  };
  auto checkpoint = open();  // refuses another command's
  if (complete_shards(writer) || checkpoint->done() == 0) return checkpoint;
  base::warn("%s: its other shards are not whole; begun anew", base::printable(run.out).c_str());
  writer.file(0).truncate(0);
  return open();
}

// The blocks' tensors, unless an earlier run has got beyond them.
void encode_with_hessians(const tensor::TensorSource& source, const QuantizePlan& plan,
                          const tensor::Importance* importance, const QuantizeRun& run,
                          format::GgufWriter& writer, exporting::Checkpoint* checkpoint,
                          base::ThreadPool& pool) {
  if (checkpoint == nullptr) {
    encode_blocks(source, plan, importance, *run.hessians, writer, nullptr, pool);
    return;
  }
  calib::StreamCheckpoint rows(run.out, run.fingerprint);
  if (checkpoint->done() >= static_cast<uint64_t>(hessian_stages(run.hessians->config))) {
    for (const size_t i : hessian_tensors(source, plan)) {
      writer.note_rows(i, 0, plan.tensors[i].out.shape.rows());
    }
    writer.keep_partial();
  } else {
    HessianProgress progress{*checkpoint, rows, run.force};
    encode_blocks(source, plan, importance, *run.hessians, writer, &progress, pool);
  }
  rows.remove();
}

}  // namespace

double QuantizePlan::bits_per_weight() const {
  return elements == 0 ? 0 : 8.0 * static_cast<double>(data_bytes) / static_cast<double>(elements);
}

QuantizePlan plan_quantize(const tensor::TensorSource& source, const model::Config& config,
                           const Preset& preset, const MixtureOptions& options,
                           const tensor::Importance* importance) {
  return plan_quantize(source, preset, decide_types(source, config, preset, options), importance);
}

QuantizePlan plan_quantize(const tensor::TensorSource& source, const Preset& preset,
                           const std::vector<TypeDecision>& decisions,
                           const tensor::Importance* importance) {
  if (importance != nullptr) check_importance(source, *importance);
  QuantizePlan plan;
  plan.preset = preset;
  for (const TypeDecision& decision : decisions) {
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

std::optional<base::Error> obstacle(const tensor::TensorSource& source, const QuantizePlan& plan,
                                    bool allow_requantize) {
  std::optional<base::Error> codec_missing;
  for (const TensorPlan& tensor : plan.tensors) {
    const tensor::TensorInfo& in = source.tensors()[tensor.source_index];
    if (in.dtype == tensor.out.dtype) continue;  // copied
    const std::string place = source.place_of(in);
    const std::string from(tensor::info(in.dtype).name), to(tensor::info(tensor.out.dtype).name);
    if (tensor::info(in.dtype).quantized() && !allow_requantize) {
      return fail(ErrorKind::usage,
                  "%s is already %s; quantize from the BF16 original (rounding twice costs "
                  "quality), or give --allow-requantize",
                  place.c_str(), from.c_str());
    }
    if (tensor.requires_imatrix && !tensor.weighted) {
      return fail(ErrorKind::usage,
                  "%s: %s needs statistics of it and would be garbage without; give an --imatrix "
                  "that has them (karat calibrate), or another type with --tensor-type",
                  place.c_str(), to.c_str());
    }
    const bool unreadable = codec::find_codec(in.dtype) == nullptr;
    if (!codec_missing && (unreadable || codec::find_codec(tensor.out.dtype) == nullptr)) {
      codec_missing =
          fail(ErrorKind::unsupported, "%s: %s cannot be %s; choose another type", place.c_str(),
               (unreadable ? from : to).c_str(), unreadable ? "read" : "written");
    }
  }
  return codec_missing;
}

format::Metadata quantized_metadata(format::Metadata input, const Preset& preset,
                                    const format::Metadata& extra) {
  input.set("general.quantization_version", uint32_t{2});
  uint32_t file_type = static_cast<uint32_t>(preset.ftype);
  if (preset.copies) {
    file_type = static_cast<uint32_t>(
        input.has("general.file_type") ? input.get_uint("general.file_type") : 0);
  }
  input.set("general.file_type", file_type);
  for (const format::Metadata::Entry& entry : extra.entries()) input.set(entry.key, entry.value);
  return input;
}

format::GgufLayout quantized_layout(const QuantizePlan& plan, const format::Metadata& metadata,
                                    const std::vector<size_t>& shard_tensors) {
  std::vector<tensor::TensorInfo> tensors;
  for (const TensorPlan& tensor : plan.tensors) tensors.push_back(tensor.out);
  return format::GgufLayout(metadata, tensors, write_options(shard_tensors));
}

uint64_t quantize_memory(const tensor::TensorSource& source, const QuantizePlan& plan,
                         const tensor::Importance* importance, int threads) {
  std::vector<const tensor::TensorInfo*> from;
  std::vector<tensor::TensorInfo> to;
  for (const TensorPlan& tensor : plan.tensors) {
    from.push_back(&source.tensors()[tensor.source_index]);
    to.push_back(tensor.out);
  }
  uint64_t bytes = static_cast<uint64_t>(threads) * exporting::recode_memory(from, to);
  if (importance == nullptr) return bytes;
  for (const auto& [name, entry] : importance->entries) {
    bytes += 8 * (entry.in_sum2.size() + entry.in_sum.size() + entry.counts.size());
  }
  return bytes;
}

void run_quantize(const tensor::TensorSource& source, const QuantizePlan& plan,
                  const tensor::Importance* importance, const QuantizeRun& run,
                  base::ThreadPool& pool) {
  using Leftover = base::OutputFile::Leftover;
  std::vector<const tensor::TensorInfo*> from;
  std::vector<tensor::TensorInfo> to;
  for (const TensorPlan& tensor : plan.tensors) {
    from.push_back(&source.tensors()[tensor.source_index]);
    to.push_back(tensor.out);
  }
  const bool resumable = !run.fingerprint.empty();
  format::GgufWriter writer(run.out, run.metadata, to, write_options(run.shard_tensors),
                            resumable ? Leftover::kept : Leftover::emptied);
  exporting::RecodeOptions options{.stage = "quantize", .alongside = run.alongside};
  std::unique_ptr<exporting::Checkpoint> checkpoint;
  if (resumable) {
    checkpoint = open_checkpoint(writer, run);
    options.checkpoint = checkpoint.get();
  }
  if (run.hessians != nullptr) {
    options.left_out = hessian_tensors(source, plan);
    options.units_before = static_cast<uint64_t>(hessian_stages(run.hessians->config));
    encode_with_hessians(source, plan, importance, run, writer, checkpoint.get(), pool);
  }
  exporting::recode(source, from, writer, pool, options, WeightedEncoder(plan, importance));
  if (run.final_metadata) writer.set_metadata(run.final_metadata());
  writer.finish();
  if (run.before_commit) run.before_commit(writer.partial_paths());
  writer.commit();
}

}  // namespace karat::recipe
