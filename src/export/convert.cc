#include "export/convert.h"

#include <filesystem>
#include <memory>
#include <set>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "export/gguf_metadata.h"
#include "export/recode.h"
#include "format/gguf_writer.h"
#include "model/hf_names.h"
#include "model/names.h"
#include "model/open.h"

namespace karat::exporting {

using base::ErrorKind;
using base::fail;
using base::printable;
using tensor::DType;
using tensor::TensorInfo;
using tensor::TensorSource;

namespace {

// A file that is checked and laid out, but not yet written.
struct Job {
  std::string path;
  const TensorSource* source = nullptr;
  std::vector<const TensorInfo*> from;
  std::vector<TensorInfo> to;
  format::Metadata metadata;
  format::GgufWriteOptions write_options;
  ConvertedFile report;
};

// The type of the first matrix decides, as in the reference converter; but F32 stays F32.
DType automatic_type(const TensorSource& source) {
  for (const TensorInfo& tensor : source.tensors()) {
    if (tensor.shape.rank() >= 2) return tensor.dtype;
  }
  return DType::f32;
}

DType resolve(OutType type, const TensorSource& source) {
  switch (type) {
    case OutType::f32:
      return DType::f32;
    case OutType::f16:
      return DType::f16;
    case OutType::bf16:
      return DType::bf16;
    case OutType::q8_0:
      return DType::q8_0;
    case OutType::automatic:
      break;
  }
  return automatic_type(source);
}

FileType file_type(DType type) {
  switch (type) {
    case DType::f16:
      return FileType::mostly_f16;
    case DType::bf16:
      return FileType::mostly_bf16;
    case DType::q8_0:
      return FileType::mostly_q8_0;
    default:
      return FileType::all_f32;
  }
}

bool wanted(const TensorInfo& tensor, int64_t trunk_layers, MtpPart mtp) {
  const int64_t layer = model::layer_of(tensor.name);
  if (mtp == MtpPart::drop) return layer < trunk_layers;
  return mtp == MtpPart::keep || layer < 0 || layer >= trunk_layers;
}

// Fills `to` with the output's types and notes the rows that do not fill blocks of 32.
void choose_types(DType type, Job& job) {
  for (const TensorInfo* from : job.from) {
    TensorInfo to = *from;
    to.dtype = model::always_f32(to.name, to.shape) ? DType::f32 : type;
    if (to.dtype == DType::q8_0 && to.shape.cols() % 32 != 0) {
      to.dtype = DType::f16;
      job.report.fallbacks.push_back(to.name);
    }
    job.report.params += to.shape.elements();
    job.to.push_back(std::move(to));
  }
  job.report.tensors = static_cast<int64_t>(job.to.size());
  job.report.type = tensor::info(type).name;
}

void check_outputs(Job& job, const std::vector<std::string>& inputs, bool force) {
  const format::GgufLayout layout(job.metadata, job.to, job.write_options);
  job.report.paths = layout.paths(job.path);
  job.report.bytes = layout.file_bytes();
  for (const std::string& path : job.report.paths) {
    base::check_output(path, {.force = force, .bytes_needed = job.report.bytes, .inputs = inputs});
  }
}

Job text_job(model::OpenedModel& model, const ConvertOptions& options) {
  if (options.mtp == MtpPart::only && model.config.mtp_layers == 0) {
    throw fail(ErrorKind::usage, "%s: --mtp-only, but this checkpoint has no MTP block",
               printable(model.path).c_str());
  }
  Job job;
  job.path = options.output;
  job.source = model.source.get();
  const int64_t trunk_layers = model.config.layers();
  for (const TensorInfo& tensor : model.source->tensors()) {
    if (wanted(tensor, trunk_layers, options.mtp)) job.from.push_back(&tensor);
  }
  if (options.mtp == MtpPart::drop) model.config.mtp_layers = 0;
  const DType type = resolve(options.type, *model.source);
  choose_types(type, job);
  job.metadata = text_metadata(model, job.to, file_type(type));
  job.write_options.shard_bytes_max = options.shard_bytes_max;
  return job;
}

Job vision_job(const model::OpenedModel& model, const TensorSource& vision,
               const ConvertOptions& options) {
  Job job;
  job.path = options.vision_output;
  job.source = &vision;
  for (const TensorInfo& tensor : vision.tensors()) job.from.push_back(&tensor);
  const DType type = resolve(options.type, vision);
  choose_types(type, job);
  job.metadata = vision_metadata(model, job.to, file_type(type));
  return job;
}

void require_memory(const Job& job, int threads, uint64_t memory_max) {
  const uint64_t needed = static_cast<uint64_t>(threads) * recode_memory(job.from, job.to);
  if (memory_max == 0 || needed <= memory_max) return;
  throw fail(
      ErrorKind::memory,
      "%s: buffers of %d threads need %s of memory, --mem-limit allows %s; use fewer threads",
      printable(job.path).c_str(), threads, base::both_units(needed).c_str(),
      base::both_units(memory_max).c_str());
}

void require_distinct(const std::vector<Job>& jobs) {
  std::set<std::string> seen;
  for (const Job& job : jobs) {
    for (const std::string& path : job.report.paths) {
      if (seen.insert(std::filesystem::weakly_canonical(path)).second) continue;
      throw fail(ErrorKind::usage, "%s: both outputs have this name", printable(path).c_str());
    }
  }
}

// The files of a job, complete but for their names.
std::unique_ptr<format::GgufWriter> write(const Job& job, base::ThreadPool& pool) {
  for (const std::string& name : job.report.fallbacks) {
    base::warn("tensor '%s': its rows are not a multiple of 32, so it becomes F16 instead of Q8_0",
               printable(name).c_str());
  }
  auto writer =
      std::make_unique<format::GgufWriter>(job.path, job.metadata, job.to, job.write_options);
  recode(*job.source, job.from, *writer, pool, {.stage = "convert"}, plain_encoder(*writer));
  writer->finish();
  return writer;
}

}  // namespace

std::vector<ConvertedFile> convert_checkpoint(const std::string& folder,
                                              const ConvertOptions& options,
                                              base::ThreadPool& pool) {
  if (options.output.empty() && options.vision_output.empty()) {
    throw fail(ErrorKind::usage, "convert: nothing to write; give -o OUT.gguf or --mmproj OUT");
  }
  if (!base::is_directory(folder)) {
    throw fail(ErrorKind::bad_input, "%s: convert reads the folder of a Hugging Face checkpoint",
               printable(folder).c_str());
  }
  model::OpenedModel model = model::open_model(folder, {.gate_up = options.gate_up});
  std::unique_ptr<TensorSource> vision;
  std::vector<Job> jobs;
  if (!options.output.empty()) jobs.push_back(text_job(model, options));
  if (!options.vision_output.empty()) {
    vision = model::make_vision_source(model.raw, model.config, folder);
    jobs.push_back(vision_job(model, *vision, options));
  }
  for (Job& job : jobs) {
    check_outputs(job, model.files, options.force);
    require_memory(job, pool.size(), options.memory_max);
  }
  require_distinct(jobs);
  std::vector<std::unique_ptr<format::GgufWriter>> writers;
  for (const Job& job : jobs) writers.push_back(write(job, pool));
  if (options.before_commit) {
    for (size_t i = 0; i < jobs.size(); ++i) {
      options.before_commit(model.files, jobs[i].report, writers[i]->partial_paths());
    }
  }
  for (const auto& writer : writers) writer->commit();
  std::vector<ConvertedFile> reports;
  for (Job& job : jobs) reports.push_back(std::move(job.report));
  return reports;
}

}  // namespace karat::exporting
