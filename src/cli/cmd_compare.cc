#include <limits>
#include <memory>
#include <optional>

#include "base/error.h"
#include "base/file.h"
#include "base/text.h"
#include "cli/command.h"
#include "cli/compare_report.h"
#include "eval/compare.h"
#include "export/gguf_metadata.h"
#include "format/gguf.h"
#include "format/imatrix.h"
#include "model/open.h"

namespace karat::cli {

namespace {

// A folder as convert would present it, or any GGUF file.
struct Side {
  std::unique_ptr<tensor::TensorSource> source;
  format::Metadata metadata;
  ComparedFile file;
};

Side open_side(const std::string& path) {
  Side side;
  std::vector<std::string> files;
  if (base::is_directory(path)) {
    model::OpenedModel model = model::open_model(path);
    side.metadata =
        exporting::text_metadata(model, model.source->tensors(), exporting::FileType::mostly_bf16);
    side.source = std::move(model.source);
    files = std::move(model.files);
  } else {
    auto source = std::make_unique<format::GgufSource>(path);
    side.metadata = source->metadata();
    format::drop_split_keys(side.metadata);
    files = source->files();
    side.source = std::move(source);
  }
  side.file.path = path;
  for (const tensor::TensorInfo& tensor : side.source->tensors()) {
    ++side.file.tensors;
    side.file.params += tensor.shape.elements();
    side.file.data_bytes += static_cast<uint64_t>(tensor.bytes());
  }
  for (const std::string& file : files) side.file.file_bytes += base::File(file).size();
  return side;
}

class Compare : public Command {
 public:
  std::string verb() const override { return "compare"; }
  std::string summary() const override { return "what differs between two models, and how far"; }
  std::string usage() const override { return "A B [--tensors] [--against C] [--imatrix FILE]"; }

  void declare(Options& options) override {
    options.text("A", "", a_, "the base: HF folder or GGUF file").required = true;
    options.text("B", "", b_, "what is compared with it").required = true;
    options.flag("--tensors", tensors_, "read all weights: the error of every tensor of B");
    options.text(
        "--against", "C", against_,
        "another file of A: its errors beside B's, and their ratio (below 1: B is better)");
    options.number("--max-ratio", "X", max_ratio_,
                   "with --against: status 6 if a tensor's ratio is above, or a tensor is missing");
    options.text("--imatrix", "FILE", imatrix_, "weigh columns by their mean squared input");
  }

  void run(const Common& common) override {
    if (against_.empty() && max_ratio_ != kNoLimit) {
      throw base::fail(base::ErrorKind::usage, "--max-ratio needs --against, the file to beat");
    }
    Side a = open_side(a_), b = open_side(b_);
    std::optional<Side> against;
    if (!against_.empty()) against = open_side(against_);
    const tensor::TensorSource* third = against ? against->source.get() : nullptr;
    Comparison result;
    result.a = a.file;
    result.b = b.file;
    if (against) result.against = against->file;
    result.table = eval::match_tensors(*a.source, *b.source, third);
    result.metadata = eval::metadata_differences(a.metadata, b.metadata);
    result.measured = tensors_ || against || !imatrix_.empty();
    if (result.measured) {
      std::optional<tensor::Importance> importance;
      if (!imatrix_.empty()) {
        importance = format::read_imatrix(imatrix_);
        tensor::split_experts(*importance, *a.source);
      }
      require_memory(common, eval::compare_memory(result.table, common.thread_count()),
                     "compare: buffers of " + std::to_string(common.thread_count()) + " threads");
      base::ThreadPool pool(common.thread_count());
      eval::measure_errors(result.table, *a.source, *b.source, third,
                           importance ? &*importance : nullptr, pool);
    }
    if (common.json) {
      print_json(comparison_json(result));
    } else {
      print(comparison_text(result));
    }
    const std::string fault = max_ratio_ == kNoLimit ? "" : ratio_fault(result.table, max_ratio_);
    if (!fault.empty()) {
      throw base::fail(base::ErrorKind::gate, "%s: does not pass --max-ratio against %s: %s",
                       base::printable(b_).c_str(), base::printable(against_).c_str(),
                       fault.c_str());
    }
  }

 private:
  static constexpr double kNoLimit = std::numeric_limits<double>::infinity();
  std::string a_, b_, against_, imatrix_;
  double max_ratio_ = kNoLimit;
  bool tensors_ = false;
};

}  // namespace

std::unique_ptr<Command> make_compare() { return std::make_unique<Compare>(); }

}  // namespace karat::cli
