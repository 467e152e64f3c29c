#include "base/error.h"
#include "base/file.h"
#include "base/text.h"
#include "calib/activation_statistics.h"
#include "calib/importance_merge.h"
#include "cli/calibrate_report.h"
#include "cli/command.h"
#include "export/reshard.h"
#include "format/imatrix.h"
#include "receipt/receipt.h"

namespace karat::cli {

namespace {

class Merge : public Command {
 public:
  std::string verb() const override { return "merge"; }
  std::string summary() const override { return "shards to one file, a file to shards"; }
  std::string usage() const override {
    return "IN-00001-of-0000N.gguf -o OUT.gguf | IN.gguf --split-max-size SIZE -o OUT.gguf | "
           "IMATRIX... -o OUT";
  }

  void declare(Options& options) override {
    options
        .list("IN", "", in_,
              "GGUF file (the first of several shards), or files of importance statistics")
        .required = true;
    options
        .text("-o,--output", "OUT", out_,
              "the file to write; of shards, the name before -0000i-of-0000N")
        .required = true;
    options.bytes("--split-max-size", "SIZE", reshard_.shards.shard_bytes_max,
                  "split: at most so many bytes of tensors in a file");
    options.integer("--split-max-tensors", "N", tensors_max_,
                    "split: at most so many tensors in a file", 1, INT32_MAX);
    options.flag("--no-tensor-first-split", reshard_.shards.no_tensor_first_shard,
                 "split: no tensors in the first file, only the metadata");
  }

  void run(const Common& common) override {
    base::ThreadPool pool(common.thread_count());
    const bool statistics = format::is_imatrix(in_.front());
    if (!statistics && in_.size() > 1) {
      throw base::fail(base::ErrorKind::usage,
                       "merge: one model at a time, and of its shards the first (%s)",
                       base::printable(in_.front()).c_str());
    }
    if (statistics) {
      merge_statistics(common, pool);
    } else {
      merge_model(common, pool);
    }
  }

 private:
  bool splits() const {
    return reshard_.shards.shard_bytes_max > 0 || tensors_max_ > 0 ||
           reshard_.shards.no_tensor_first_shard;
  }

  void merge_model(const Common& common, base::ThreadPool& pool) {
    const format::GgufSource source(in_.front());
    if (source.files().size() == 1 && !splits()) {
      throw base::fail(base::ErrorKind::usage,
                       "%s: is one file already; --split-max-size or --split-max-tensors splits it",
                       base::printable(in_.front()).c_str());
    }
    require_memory(common, exporting::reshard_memory(source) * static_cast<uint64_t>(pool.size()),
                   "merge: buffers of " + std::to_string(pool.size()) + " threads");
    reshard_.shards.shard_tensors_max = static_cast<size_t>(tensors_max_);
    reshard_.force = common.force;
    const std::vector<std::string> paths = exporting::reshard(source, out_, reshard_, pool);
    receipt::drop_receipt(out_);
    uint64_t bytes = 0;
    for (const std::string& path : paths) bytes += base::File(path).size();
    if (common.json) {
      base::Json json = base::Json::object();
      json.set("paths", base::Json(base::Json::Array(paths.begin(), paths.end())));
      json.set("tensors", static_cast<int64_t>(source.tensors().size()));
      json.set("bytes", bytes);
      print_json(std::move(json));
      return;
    }
    std::string text;
    for (const std::string& path : paths) text += path + "\n";
    if (!common.quiet) {
      text += base::strf("  %zu tensors, %s\n", source.tensors().size(),
                         base::both_units(bytes).c_str());
    }
    print(text);
  }

  void merge_statistics(const Common& common, base::ThreadPool& pool) const {
    if (splits()) {
      throw base::fail(base::ErrorKind::usage, "merge: statistics are not split");
    }
    base::check_output(out_, {.force = common.force, .inputs = in_});
    std::vector<tensor::Importance> parts;
    for (const std::string& path : in_) parts.push_back(format::read_imatrix(path));
    tensor::Importance importance = calib::merge_importance(std::move(parts));
    calib::fill_activation_stats(importance, pool);
    format::write_imatrix(
        out_, importance,
        base::ends_with(out_, ".dat") ? format::ImatrixLayout::dat : format::ImatrixLayout::gguf);
    if (common.json) {
      print_json(coverage_json(out_, importance));
    } else {
      print(common.quiet ? out_ + "\n" : coverage_text(base::printable(out_), importance));
    }
  }

  std::vector<std::string> in_;
  std::string out_;
  exporting::ReshardOptions reshard_;
  int64_t tensors_max_ = 0;
};

}  // namespace

std::unique_ptr<Command> make_merge() { return std::make_unique<Merge>(); }

}  // namespace karat::cli
