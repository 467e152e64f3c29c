#include <charconv>
#include <chrono>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "cli/command.h"
#include "cli/quantize_report.h"
#include "export/gguf_metadata.h"
#include "format/gguf.h"
#include "format/imatrix.h"
#include "kernels/dispatch.h"
#include "model/open.h"
#include "receipt/receipt.h"
#include "recipe/mixture.h"
#include "recipe/quantize.h"

namespace karat::cli {

using base::ErrorKind;
using base::fail;

namespace {

std::vector<std::string> preset_names() {
  std::vector<std::string> names;
  for (const recipe::Preset& preset : recipe::presets()) names.emplace_back(preset.name);
  return names;
}

class Quantize : public Command {
 public:
  std::string verb() const override { return "quantize"; }
  std::string summary() const override { return "make a small file of a model"; }
  std::string usage() const override { return "[options] IN OUT.gguf TYPE [THREADS]"; }

  void declare(Options& options) override {
    options.text("IN", "", in_, "HF folder or GGUF file (BF16, F16 or F32)").required = true;
    options.text("OUT", "", out_, "the GGUF file to write").required = true;
    Option& type = options.text("TYPE", "", type_,
                                "Q4_K_M, or any other type of llama-quantize; COPY keeps all");
    type.required = true;
    type.choices = preset_names();
    options.integer("THREADS", "", threads_, "as -t", 1, 1024);
    options.text("--imatrix", "FILE", imatrix_, "importance statistics (karat calibrate)");
    options
        .list("--tensor-type", "RE=TYPE", rules_,
              "the type of tensors whose name matches; the first match decides")
        .repeated = true;
    options.text("--output-tensor-type", "TYPE", output_type_, "the type of output.weight")
        .choices = recipe::tensor_type_names();
    options.text("--token-embedding-type", "TYPE", embedding_type_, "the type of token_embd.weight")
        .choices = recipe::tensor_type_names();
    options.flag("--leave-output-tensor", leave_output_, "output.weight keeps its type");
    options.flag("--pure", pure_, "TYPE for every tensor, no mixture");
    options.flag("--dry-run", dry_run_, "print the table of tensors and totals, write nothing");
    options.flag("--no-receipt", no_receipt_, "leave the karat.* keys out of the file");
  }

  void run(const Common& common) override {
    const auto start = std::chrono::steady_clock::now();
    const recipe::Preset& preset = recipe::preset_named(type_);
    const model::OpenedModel opened = model::open_model(in_);
    std::vector<std::string> inputs = opened.files;
    std::optional<tensor::Importance> importance;
    if (!imatrix_.empty()) {
      importance = format::read_imatrix(imatrix_);
      tensor::split_experts(*importance, *opened.source);
      inputs.push_back(imatrix_);
    }
    const tensor::Importance* weights = importance ? &*importance : nullptr;
    const recipe::QuantizePlan plan =
        recipe::plan_quantize(*opened.source, opened.config, preset, mixture_options(), weights);
    const auto obstacle = recipe::obstacle(*opened.source, plan, false);
    if (dry_run_) {
      if (obstacle) base::warn("%s", obstacle->what());
      print_plan(common, plan, file_bytes(opened, plan, weights));
      return;
    }
    if (obstacle) throw *obstacle;
    base::check_output(out_, {.force = common.force,
                              .bytes_needed = file_bytes(opened, plan, weights),
                              .inputs = inputs});
    base::check_output(out_ + ".receipt.json", {.force = true, .inputs = inputs});
    Common counted = common;
    if (threads_ > 0) counted.threads = threads_;
    require_memory(common,
                   recipe::quantize_memory(*opened.source, plan, weights, counted.thread_count()),
                   "quantize: buffers of " + std::to_string(counted.thread_count()) + " threads");
    base::ThreadPool pool(counted.thread_count());
    warn_of(plan);
    receipt::Receipt receipt = make_receipt(plan);
    receipt.inputs = receipt::hash_inputs(inputs, pool);
    std::chrono::duration<double> seconds{};
    std::unique_ptr<base::OutputFile> receipt_file;
    recipe::run_quantize(*opened.source, plan, weights, metadata(opened, plan, weights, receipt),
                         out_, pool, [&](const std::string& written) {
                           seconds = std::chrono::steady_clock::now() - start;
                           receipt_file =
                               receipt::receipt_file(out_, written, receipt, seconds.count(),
                                                     pool.size(), kernels::table().name);
                         });
    receipt_file->commit();
    print_result(common, plan, out_, seconds.count());
  }

 private:
  recipe::MixtureOptions mixture_options() const {
    recipe::MixtureOptions options;
    options.imatrix = !imatrix_.empty();
    for (const std::string& rule : rules_) options.rules.push_back(recipe::parse_type_rule(rule));
    if (!output_type_.empty())
      options.output_type = recipe::tensor_type_named(output_type_, "--output-tensor-type");
    if (!embedding_type_.empty()) {
      options.token_embedding_type =
          recipe::tensor_type_named(embedding_type_, "--token-embedding-type");
    }
    options.pure = pure_;
    options.leave_output = leave_output_;
    return options;
  }

  // The output's metadata: the input's, or what convert would write, and what this run adds.
  format::Metadata metadata(const model::OpenedModel& opened, const recipe::QuantizePlan& plan,
                            const tensor::Importance* importance,
                            const receipt::Receipt& receipt) const {
    format::Metadata input = opened.metadata
                                 ? *opened.metadata
                                 : exporting::text_metadata(opened, opened.source->tensors(),
                                                            exporting::FileType::mostly_bf16);
    format::drop_split_keys(input);
    format::Metadata extra;
    if (importance != nullptr) {
      extra.set("quantize.imatrix.file", base::file_name(imatrix_).substr(0, 127));
      if (!importance->datasets.empty()) {
        extra.set("quantize.imatrix.dataset", importance->datasets[0].substr(0, 127));
      }
      extra.set("quantize.imatrix.entries_count",
                static_cast<uint32_t>(importance->entries.size()));
      if (importance->chunk_count > 0)
        extra.set("quantize.imatrix.chunks_count", importance->chunk_count);
    }
    if (!no_receipt_) {
      for (const auto& [key, value] : receipt::metadata_entries(receipt)) extra.set(key, value);
    }
    return recipe::quantized_metadata(std::move(input), plan.preset, extra);
  }

  uint64_t file_bytes(const model::OpenedModel& opened, const recipe::QuantizePlan& plan,
                      const tensor::Importance* importance) const {
    receipt::Receipt receipt = make_receipt(plan);
    receipt.inputs.assign(opened.files.size() + 1,
                          {"model-00001-of-00026.safetensors", 0, std::string(64, '0')});
    return recipe::quantized_file_bytes(plan, metadata(opened, plan, importance, receipt));
  }

  receipt::Receipt make_receipt(const recipe::QuantizePlan& plan) const {
    receipt::Receipt receipt;
    receipt.verb = verb();
    receipt.options.set("type", std::string(plan.preset.name));
    if (!rules_.empty()) {
      base::Json rules = base::Json::array();
      for (const std::string& rule : rules_) rules.push(rule);
      receipt.options.set("tensor_type", std::move(rules));
    }
    if (!output_type_.empty()) receipt.options.set("output_tensor_type", output_type_);
    if (!embedding_type_.empty()) receipt.options.set("token_embedding_type", embedding_type_);
    if (pure_) receipt.options.set("pure", true);
    if (leave_output_) receipt.options.set("leave_output_tensor", true);
    for (const recipe::TensorPlan& tensor : plan.tensors) {
      if (tensor.cold_experts == 0) continue;
      receipt.notes.emplace_back(tensor.out.name,
                                 base::strf("%lld experts without statistics",
                                            static_cast<long long>(tensor.cold_experts)));
    }
    return receipt;
  }

  static void warn_of(const recipe::QuantizePlan& plan) {
    std::string names;
    int64_t cold = 0, fallbacks = 0;
    for (const std::string& name : plan.uncovered) names += (names.empty() ? "" : ", ") + name;
    for (const recipe::TensorPlan& tensor : plan.tensors) {
      cold += tensor.cold_experts;
      fallbacks += std::string_view(tensor.decided_by) == "fallback" ? 1 : 0;
    }
    if (fallbacks > 0) {
      base::warn(
          "%lld tensors have rows that do not fill the blocks of their type and get another "
          "one (--dry-run shows which)",
          static_cast<long long>(fallbacks));
    }
    if (!names.empty()) {
      base::warn("the imatrix has no entry for %s; quantized without",
                 base::printable(names, 400).c_str());
    }
    if (cold > 0) {
      base::warn("%lld expert matrices saw no token; weighted by the mean of their layer's others",
                 static_cast<long long>(cold));
    }
  }

  std::string in_, out_, type_, imatrix_, output_type_, embedding_type_;
  std::vector<std::string> rules_;
  int64_t threads_ = 0;
  bool pure_ = false, leave_output_ = false, dry_run_ = false, no_receipt_ = false;
};

}  // namespace

std::unique_ptr<Command> make_quantize() { return std::make_unique<Quantize>(); }

}  // namespace karat::cli
