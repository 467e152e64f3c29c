#include <optional>

#include "base/error.h"
#include "base/file.h"
#include "base/text.h"
#include "calib/activation_statistics.h"
#include "calib/all_experts.h"
#include "calib/importance.h"
#include "calib/importance_merge.h"
#include "cli/calibrate_report.h"
#include "cli/command.h"
#include "cli/load.h"
#include "cli/packet_command.h"
#include "cli/stats_folder.h"
#include "cli/streamed_calibration.h"
#include "format/imatrix.h"

namespace karat::cli {

namespace {

class Calibrate : public Command {
 public:
  std::string verb() const override { return "calibrate"; }
  std::string summary() const override { return "measure which weights matter (imatrix)"; }
  std::string usage() const override {
    return "-m MODEL (-f TEXT...|-f PACKET|--packet RECIPE) [--in-file FILE...] -o OUT [options]";
  }

  void declare(Options& options) override {
    options.text("-m,--model", "MODEL", model_, "HF folder or GGUF file");
    of_texts(options.list("-f,--file", "TEXT", files_, "calibration texts, or one packet"));
    options.text("--packet", "RECIPE", recipe_,
                 "write a packet of calibration texts, as this TOML file says");
    of_texts(options.list(
                 "--in-file", "IMATRIX", in_files_,
                 "statistics to add (.gguf or .dat); without -f they are only merged or converted"))
        .repeated = true;
    options.text(
        "-o,--output", "OUT", out_,
        "the imatrix to write, OUT.gguf or OUT.dat; another name: a folder for it, routing "
        "and outliers; with --packet the packet");
    of_texts(options.choice("--output-format", {"gguf", "dat"}, format_,
                            "the layout of OUT (default by its name)"));
    of_texts(options.flag("--show-statistics", show_statistics_,
                          "print a table of activation statistics per tensor and per layer"));
    of_texts(options.integer("-c,--ctx-size", "N", ctx_,
                             "tokens per chunk (default 512); also of .dat files, which do not say",
                             4, INT32_MAX));
    of_texts(options.integer("--chunks", "N", chunks_, "use at most N chunks", 1));
    options.integer("--tokens", "N", tokens_,
                    "use at most N tokens (whole chunks); of a packet exactly N", 1);
    of_texts(options.flag("--process-output", process_output_, "also for output.weight"));
    of_texts(
        options.flag("--parse-special", parse_special_, "special tokens in the texts are tokens"));
    of_texts(options.flag("--all-experts", all_experts_,
                          "every expert's statistics are of every row, not of those routed to it"));
    of_texts(options.flag("--hessians", hessians_,
                          "with a folder as OUT: quantize --stats encodes with full Hessians"));
    of_texts(options.flag("--no-mtp", no_mtp_, "leave the MTP block out"));
    of_texts(options.choice("--activations", {"f32", "bf16", "stock"}, activations_,
                            "rounding of the layers' inputs (default f32)"));
    of_texts(options.choice(
        "--stream", {"auto", "on", "off"}, stream_,
        "read the model block by block, once; auto: if it does not fit into memory"));
  }

  void run(const Common& common) override {
    if (!recipe_.empty()) {
      make_packet({recipe_, model_, out_, tokens_, of_texts_}, common);
      return;
    }
    check_arguments();
    const format::ImatrixLayout layout = output_layout();
    std::optional<model::OpenedModel> opened;
    if (!files_.empty()) opened = model::open_model(model_);
    base::ThreadPool pool(common.thread_count());
    check_output(common, opened ? opened->files : std::vector<std::string>{});
    if (stats_ && opened) stats_->begin(opened->config, pool);
    std::vector<tensor::Importance> parts;
    for (const std::string& file : in_files_) {
      parts.push_back(format::read_imatrix(file, static_cast<uint32_t>(ctx_)));
    }
    if (opened) parts.push_back(measure(*opened, common, pool));
    tensor::Importance importance = calib::merge_importance(std::move(parts));
    calib::fill_activation_stats(importance, pool);
    name_cold_experts(importance);
    if (stats_) stats_->write();
    if (!out_.empty()) format::write_imatrix(imatrix_path(), importance, layout);
    if (checkpoint_) checkpoint_->remove();
    report(common, importance, pool);
  }

 private:
  // Notes when the option is given: making a packet has no use for it.
  Option& of_texts(Option& option) {
    option.accept = [this, name = option.name_list().back(),
                     accept = std::move(option.accept)](const std::string& value) {
      of_texts_.push_back(name);
      accept(value);
    };
    return option;
  }

  void check_arguments() const {
    const auto refuse = [](const char* problem) {
      throw base::fail(base::ErrorKind::usage, "calibrate: %s", problem);
    };
    if (files_.empty() && in_files_.empty()) {
      refuse("nothing to do; give texts (-f) or statistics (--in-file)");
    }
    if (!files_.empty() && model_.empty()) refuse("texts (-f) go through a model; give it with -m");
    if (files_.empty() && !model_.empty()) refuse("the model (-m) needs texts; give them with -f");
    if (hessians_ && !is_folder()) {
      refuse("--hessians wants a folder; give -o a name without .gguf or .dat");
    }
    if (is_folder() && files_.empty()) {
      refuse(
          "a folder of statistics (-o) needs texts (-f); to merge name OUT.gguf or OUT.dat, or "
          "give --output-format");
    }
    if (out_.empty() && !(files_.empty() && show_statistics_)) {
      refuse("-o OUT is missing: the imatrix to write");
    }
  }

  format::ImatrixLayout output_layout() const {
    if (format_ == "dat" || (format_.empty() && base::ends_with(out_, ".dat"))) {
      return format::ImatrixLayout::dat;
    }
    return format::ImatrixLayout::gguf;
  }

  bool is_folder() const {
    const bool is_file = base::ends_with(out_, ".gguf") || base::ends_with(out_, ".dat");
    return !out_.empty() && format_.empty() && !is_file;
  }

  std::string imatrix_path() const { return stats_ ? stats_->imatrix_path() : out_; }

  void check_output(const Common& common, std::vector<std::string> inputs) {
    if (out_.empty()) return;
    for (const auto* more : {&files_, &in_files_}) {
      inputs.insert(inputs.end(), more->begin(), more->end());
    }
    if (is_folder()) {
      stats_.emplace(out_, common.force, inputs);
      return;
    }
    base::check_output(out_, {.force = common.force, .inputs = inputs});
  }

  tensor::Importance measure(const model::OpenedModel& opened, const Common& common,
                             base::ThreadPool& pool) {
    const auto packet = packet_corpus(files_, opened, {ctx_, chunks_, tokens_}, common);
    const calib::Corpus corpus = packet ? *packet
                                        : calib::read_corpus(files_, make_tokenizer(opened),
                                                             {.chunk_size = ctx_,
                                                              .chunks_max = chunks_,
                                                              .tokens_max = tokens_,
                                                              .parse_special = parse_special_});
    const model::ForwardOptions forward{.activations = activations_named(activations_)};
    const bool with_mtp = !no_mtp_ && opened.config.mtp_layers > 0;
    std::vector<calib::KeptTap*> also;
    if (stats_) also = stats_->taps();
    if (all_experts_) also.push_back(&all_experts_tap_);
    tensor::Importance importance;
    if (is_streamed(stream_, opened, with_mtp, common)) {
      calib::StreamedOptions options{.process_output = process_output_,
                                     .stream = {.with_mtp = with_mtp, .forward = forward},
                                     .also = also};
      if (!out_.empty()) {
        checkpoint_.emplace(imatrix_path(), calibrate_fingerprint(opened, corpus, options));
        options.checkpoint = &*checkpoint_;
      }
      importance = run_streamed(opened, corpus, options, common, pool);
    } else {
      const auto model = load_resident(opened, with_mtp, common);
      importance = calib::calibrate(
          *model, corpus,
          {.process_output = process_output_, .forward = forward, .also = std::move(also)}, pool);
    }
    for (const std::string& file : files_) importance.datasets.push_back(base::file_name(file));
    if (hessians_) stats_->want_hessians();
    if (stats_) stats_->keep_text(calib::packet_of(corpus, *opened.tokenizer));
    if (with_mtp) importance.nextn_layers = static_cast<uint32_t>(opened.config.mtp_layers);
    return importance;
  }

  void report(const Common& common, const tensor::Importance& importance,
              base::ThreadPool& pool) const {
    const std::string name =
        base::printable(out_.empty() ? base::file_name(in_files_.front()) : out_);
    if (common.json) {
      base::Json json = coverage_json(out_, importance);
      if (stats_) json.set("super_experts", stats_->super_experts_json());
      if (show_statistics_) json.set("statistics", statistics_json(importance, pool));
      print_json(std::move(json));
      return;
    }
    if (show_statistics_) print(statistics_text(name, importance, pool));
    if (out_.empty()) return;
    print(common.quiet ? out_ + "\n" : coverage_text(name, importance));
    if (stats_ && !common.quiet) print(stats_->text());
  }

  std::string model_, out_, recipe_, format_, activations_ = "f32", stream_ = "auto";
  std::vector<std::string> files_, in_files_;
  std::vector<std::string> of_texts_;  // options given that say how texts go through a model
  int64_t ctx_ = 512, chunks_ = -1, tokens_ = -1;
  bool process_output_ = false, parse_special_ = false, no_mtp_ = false, show_statistics_ = false;
  bool all_experts_ = false, hessians_ = false;
  calib::AllExpertsTap all_experts_tap_;
  std::optional<StatsFolder> stats_;                   // if OUT is a folder
  std::optional<calib::StreamCheckpoint> checkpoint_;  // of a streamed run with an output
};

}  // namespace

std::unique_ptr<Command> make_calibrate() { return std::make_unique<Calibrate>(); }

}  // namespace karat::cli
