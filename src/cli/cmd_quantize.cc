#include <sys/resource.h>

#include <chrono>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/text.h"
#include "calib/packet.h"
#include "cli/command.h"
#include "cli/load.h"
#include "cli/quantize_receipt.h"
#include "cli/quantize_report.h"
#include "cli/stats_folder.h"
#include "format/imatrix.h"
#include "kernels/dispatch.h"
#include "model/open.h"
#include "recipe/estimate.h"
#include "recipe/overrides.h"
#include "recipe/plan_file.h"
#include "recipe/quantize.h"
#include "recipe/sequential.h"

namespace karat::cli {

using base::ErrorKind;
using base::fail;

namespace {

constexpr int64_t kChunk = 512;  // of a corpus; its sequences are as long as they are

std::vector<std::string> preset_names() {
  std::vector<std::string> names;
  for (const recipe::Preset& preset : recipe::presets()) names.emplace_back(preset.name);
  return names;
}

std::optional<tensor::DType> type_named(const std::string& name, const char* option) {
  if (name.empty()) return std::nullopt;
  return recipe::tensor_type_named(name, option);
}

// Everything that is known before the first weight is read.
struct Work {
  model::OpenedModel opened;
  std::vector<std::string> inputs = {};
  std::optional<tensor::Importance> importance = {};
  std::vector<size_t> shard_tensors = {};
  recipe::MixtureOptions mixture = {};
  recipe::QuantizePlan plan = {};
  std::optional<calib::Corpus> corpus = {};  // encode with the Hessians of its tokens
  const tensor::Importance* statistics() const { return importance ? &*importance : nullptr; }
};

// How many tensors each shard of the input has.
std::vector<size_t> tensors_of_shards(const model::OpenedModel& opened) {
  const auto* files = dynamic_cast<const format::FileSource*>(opened.source.get());
  if (files == nullptr) {
    throw fail(ErrorKind::usage, "--keep-split: %s is not a GGUF file",
               base::printable(opened.path).c_str());
  }
  std::vector<size_t> counts(files->files().size());
  for (const tensor::TensorInfo& tensor : files->tensors()) ++counts[files->place(tensor).file];
  return counts;
}

class Quantize : public Command {
 public:
  std::string verb() const override { return "quantize"; }
  std::string summary() const override { return "make a small file of a model"; }
  std::string usage() const override {
    return "[options] IN [OUT.gguf] TYPE [THREADS]\n"
           "       karat quantize --plan PLAN --stats STATS [options] IN OUT.gguf";
  }

  void declare(Options& options) override {
    QuantizeRequest& r = request_;
    options.text("IN", "", r.in, "HF folder or GGUF file (BF16, F16 or F32)").required = true;
    options.text("OUT", "", r.out, "the file to write (default: ggml-model-TYPE.gguf beside IN)");
    options.text("TYPE", "", r.type, "Q4_K_M, or any other type of llama-quantize; COPY keeps all")
        .choices = preset_names();
    options.text("THREADS", "", threads_, "as -t").number = true;
    options.text("--plan", "PLAN", r.plan, "the types that karat plan chose, in place of TYPE");
    options.text(
        "--stats", "STATS", stats_,
        "the folder of karat calibrate -o STATS, with --plan the one that it was made with; "
        "made with calibrate's --hessians, blocks are encoded with full Hessians");
    options.text("--imatrix", "FILE", r.imatrix, "importance statistics (karat calibrate)");
    options.each("--include-weights", "NAME", r.included, "use only entries with this in the name");
    options.each("--exclude-weights", "NAME", r.excluded, "use no entry with this in the name");
    options.each("--tensor-type", "RE=TYPE", r.rules,
                 "the type of tensors whose name matches; the first match decides");
    options.text("--tensor-type-file", "FILE", r.rule_file, "more of these, one a word");
    options.text("--output-tensor-type", "TYPE", r.output_type, "the type of output.weight")
        .choices = recipe::tensor_type_names();
    options
        .text("--token-embedding-type", "TYPE", r.embedding_type, "the type of token_embd.weight")
        .choices = recipe::tensor_type_names();
    options.flag("--leave-output-tensor", r.leave_output, "output.weight keeps its type");
    options.flag("--pure", r.pure, "TYPE for every tensor, no mixture");
    options.flag("--allow-requantize", r.allow_requantize, "take a quantized input");
    options.flag("--keep-split", r.keep_split, "as many files as the input has");
    options.each("--override-kv", "KEY=TYPE:VALUE", r.overrides,
                 "set a key of the metadata; TYPE is int, float, bool or str");
    options.flag("--dry-run", dry_run_, "print tensors, totals, time and memory; write nothing");
    options.flag("--no-receipt", no_receipt_, "leave the karat.* keys out of the file");
  }

  void run(const Common& given) override {
    const auto start = std::chrono::steady_clock::now();
    Common common = given;
    place_arguments(common);
    request_.with_receipt = !no_receipt_;
    const Work work = prepare();
    receipt::Receipt receipt = quantize_receipt(request_, work.plan, work.mixture.rules);
    receipt.inputs = unhashed(work.inputs);
    recipe::QuantizeRun run{.out = request_.out,
                            .metadata = metadata(work, receipt),
                            .shard_tensors = work.shard_tensors,
                            .force = common.force};
    const auto layout = recipe::quantized_layout(work.plan, run.metadata, run.shard_tensors);
    const auto obstacle =
        recipe::obstacle(*work.opened.source, work.plan, request_.allow_requantize);
    if (dry_run_) {
      if (obstacle) base::warn("%s", obstacle->what());
      print_plan(common, work.plan, layout.file_bytes(), expectation(work, common));
      return;
    }
    if (obstacle) throw *obstacle;
    check_outputs(work, layout, common);
    warn_of(work.plan);
    std::vector<uint64_t> file_bytes;
    for (const auto& shard : layout.shards()) file_bytes.push_back(shard.file_bytes);
    const auto fingerprint = [&] {
      return quantize_fingerprint(request_, receipt, work.inputs, file_bytes);
    };
    run.fingerprint = fingerprint();
    base::ThreadPool pool(common.thread_count());
    const std::optional<recipe::HessianInputs> hessians = hessian_inputs(work);
    if (hessians) run.hessians = &*hessians;
    receipt::InputHasher hasher(work.inputs);
    run.alongside = [&](double share) { hasher.advance(share); };
    run.final_metadata = [&] {
      receipt.inputs = hasher.finish(pool);
      if (fingerprint() != run.fingerprint) {
        throw fail(ErrorKind::bad_input, "%s: changed while it was being read; quantize it again",
                   base::printable(request_.in).c_str());
      }
      return metadata(work, receipt);
    };
    std::unique_ptr<base::OutputFile> receipt_file;
    std::chrono::duration<double> seconds{};
    run.before_commit = [&](const std::vector<std::string>& written) {
      seconds = std::chrono::steady_clock::now() - start;
      receipt_file = receipt::receipt_file(request_.out, outputs(layout, written), receipt,
                                           {seconds.count(), pool.size(), kernels::table().name});
    };
    execute(work, run, layout, pool);
    receipt_file->commit();
    print_result(common, work.plan, layout.paths(request_.out), layout.file_bytes(),
                 seconds.count());
  }

 private:
  // llama-quantize's form: OUT may be left out, and whatever is a TYPE in its place is the TYPE.
  void place_arguments(Common& common) {
    QuantizeRequest& r = request_;
    if (!r.plan.empty()) {
      place_plan();
      return;
    }
    if (!stats_.empty()) {
      if (!r.imatrix.empty()) {
        throw fail(ErrorKind::usage, "--stats has an imatrix of its own; leave --imatrix out");
      }
      r.imatrix = stats_imatrix(stats_);
    }
    if (recipe::find_preset(r.out) != nullptr) {
      if (!threads_.empty()) {
        throw fail(ErrorKind::usage, "'%s' is a type; what is '%s'?", r.out.c_str(),
                   base::printable(threads_).c_str());
      }
      threads_ = r.type, r.type = r.out;
      const size_t folder = r.in.find_last_of('/');
      r.out = (folder == std::string::npos ? "" : r.in.substr(0, folder + 1)) + "ggml-model-" +
              std::string(recipe::preset_named(r.type).name) + ".gguf";
    }
    if (r.type.empty()) throw fail(ErrorKind::usage, "TYPE is missing; Q4_K_M is a good first one");
    if (threads_.empty()) return;
    for (const char c : threads_) {
      if (c >= '0' && c <= '9' && threads_.size() < 5) continue;
      throw fail(ErrorKind::usage, "THREADS: '%s' is not a number of threads",
                 base::printable(threads_).c_str());
    }
    common.threads = std::stoi(threads_);
    if (common.threads < 1 || common.threads > 1024) {
      throw fail(ErrorKind::usage, "THREADS: 1 to 1024 are possible");
    }
  }

  // A plan decides everything that has a bearing on bytes, so that it gives the size it promises.
  void place_plan() {
    QuantizeRequest& r = request_;
    const auto refuse = [](const char* problem) { throw fail(ErrorKind::usage, "%s", problem); };
    if (stats_.empty()) refuse("--plan needs the --stats that it was made with");
    if (!r.type.empty() || recipe::find_preset(r.out) != nullptr) {
      refuse("--plan takes no TYPE: it says the type of every tensor");
    }
    if (r.out.empty()) refuse("--plan needs the name of the file to write: IN OUT.gguf");
    const bool others = !r.imatrix.empty() || !r.included.empty() || !r.excluded.empty() ||
                        !r.rules.empty() || !r.rule_file.empty() || !r.output_type.empty() ||
                        !r.embedding_type.empty() || !r.overrides.empty() || r.leave_output ||
                        r.pure || r.keep_split || r.allow_requantize;
    if (others) refuse("--plan decides all types and bytes; leave the options about them out");
    r.imatrix = stats_imatrix(stats_);
    r.plan_hash = base::sha256_of_file(r.plan);
  }

  Work prepare_plan() const {
    const QuantizeRequest& r = request_;
    Work work{.opened = model::open_model(r.in)};
    work.inputs = work.opened.files;
    work.inputs.push_back(r.imatrix);
    work.importance = format::read_imatrix(r.imatrix);
    const recipe::PlanDecisions made = recipe::decisions_of(
        recipe::read_plan(r.plan), r.plan, *work.opened.source, base::sha256_of_file(r.imatrix));
    work.plan =
        recipe::plan_quantize(*work.opened.source, *made.preset, made.decisions, work.statistics());
    read_text(work);
    return work;
  }

  Work prepare() const {
    const QuantizeRequest& r = request_;
    if (!r.plan.empty()) return prepare_plan();
    const recipe::Preset& preset = recipe::preset_named(r.type);
    for (const std::string& text : r.overrides) recipe::parse_override(text);
    Work work{.opened = model::open_model(r.in)};
    work.inputs = work.opened.files;
    if (!r.imatrix.empty()) {
      work.importance = format::read_imatrix(r.imatrix);
      tensor::split_experts(*work.importance, *work.opened.source);
      recipe::select_entries(*work.importance, r.included, r.excluded);
      work.inputs.push_back(r.imatrix);
      if (work.importance->entries.empty()) work.importance.reset();
    } else if (!r.included.empty() || !r.excluded.empty()) {
      throw fail(ErrorKind::usage, "--include-weights and --exclude-weights choose from --imatrix");
    }
    if (r.keep_split) work.shard_tensors = tensors_of_shards(work.opened);
    work.mixture = mixture_options(work.importance.has_value());
    work.plan = recipe::plan_quantize(*work.opened.source, work.opened.config, preset, work.mixture,
                                      work.statistics());
    read_text(work);
    return work;
  }

  // The text of which Hessians are made, if the statistics want them.
  void read_text(Work& work) const {
    if (stats_.empty() || !base::file_exists(stats_hessians(stats_))) return;
    const std::string path = stats_text(stats_);
    work.corpus = calib::corpus_of(calib::read_packet(path), path,
                                   make_tokenizer(work.opened).spec(), {}, kChunk);
    work.inputs.push_back(path);
  }

  static std::optional<recipe::HessianInputs> hessian_inputs(const Work& work) {
    if (!work.corpus) return std::nullopt;
    return recipe::HessianInputs{work.opened.config, *work.corpus};
  }

  recipe::MixtureOptions mixture_options(bool imatrix) const {
    const QuantizeRequest& r = request_;
    recipe::MixtureOptions options;
    for (const std::string& rule : r.rules) options.rules.push_back(recipe::parse_type_rule(rule));
    if (!r.rule_file.empty()) {
      for (recipe::TypeRule& rule : recipe::read_type_rules(r.rule_file)) {
        options.rules.push_back(std::move(rule));
      }
    }
    options.output_type = type_named(r.output_type, "--output-tensor-type");
    options.token_embedding_type = type_named(r.embedding_type, "--token-embedding-type");
    options.pure = r.pure;
    options.leave_output = r.leave_output;
    options.imatrix = imatrix;
    options.keep_order = r.keep_split;
    return options;
  }

  format::Metadata metadata(const Work& work, const receipt::Receipt& receipt) const {
    format::Metadata metadata =
        quantize_metadata(request_, work.opened, work.plan, work.statistics(), receipt);
    if (!request_.overrides.empty()) {
      model::check_gguf(metadata, *work.opened.source, work.opened.path + " with --override-kv");
    }
    return metadata;
  }

  static uint64_t buffers(const Work& work, const Common& common) {
    const auto hessians = hessian_inputs(work);
    return recipe::quantize_memory(*work.opened.source, work.plan, work.statistics(),
                                   common.thread_count()) +
           (hessians ? recipe::hessian_memory(*work.opened.source, work.plan, *hessians) : 0);
  }

  static Expectation expectation(const Work& work, const Common& common) {
    uint64_t input_bytes = 0;
    for (const std::string& path : work.inputs) input_bytes += base::File(path).size();
    rusage usage{};
    ::getrusage(RUSAGE_SELF, &usage);
    const auto held = static_cast<uint64_t>(usage.ru_maxrss) * 1024;
    return {recipe::estimate_time(work.plan, input_bytes, common.thread_count()),
            held + buffers(work, common)};
  }

  void check_outputs(const Work& work, const format::GgufLayout& layout,
                     const Common& common) const {
    for (const std::string& path : layout.paths(request_.out)) {
      base::check_output(
          path,
          {.force = common.force, .bytes_needed = layout.file_bytes(), .inputs = work.inputs});
    }
    base::check_output(request_.out + ".receipt.json", {.force = true, .inputs = work.inputs});
    require_memory(common, buffers(work, common),
                   "quantize: buffers of " + std::to_string(common.thread_count()) + " threads");
  }

  // A full disk or a signal leaves what can be gone on with; bad input leaves nothing.
  void execute(const Work& work, const recipe::QuantizeRun& run, const format::GgufLayout& layout,
               base::ThreadPool& pool) const {
    try {
      recipe::run_quantize(*work.opened.source, work.plan, work.statistics(), run, pool);
    } catch (const base::Error& error) {
      const bool useless = error.kind() == ErrorKind::bad_input ||
                           error.kind() == ErrorKind::gate || error.kind() == ErrorKind::internal;
      if (useless) {
        for (const std::string& path : layout.paths(run.out)) base::discard_partial(path);
      }
      throw;
    }
  }

  std::vector<receipt::Output> outputs(const format::GgufLayout& layout,
                                       const std::vector<std::string>& written) const {
    std::vector<receipt::Output> outputs;
    const std::vector<std::string> paths = layout.paths(request_.out);
    for (size_t i = 0; i < paths.size(); ++i) {
      outputs.push_back({paths[i], written[i], layout.shards()[i].file_bytes});
    }
    return outputs;
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

  QuantizeRequest request_;
  std::string threads_, stats_;
  bool dry_run_ = false, no_receipt_ = false;
};

}  // namespace

std::unique_ptr<Command> make_quantize() { return std::make_unique<Quantize>(); }

}  // namespace karat::cli
