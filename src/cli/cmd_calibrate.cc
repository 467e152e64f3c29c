#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "calib/importance.h"
#include "cli/command.h"
#include "cli/load.h"
#include "format/imatrix.h"

namespace karat::cli {

namespace {

struct Coverage {
  int64_t entries = 0, matrices = 0, cold = 0;
};

Coverage coverage_of(const tensor::Importance& importance) {
  Coverage coverage;
  for (const auto& [name, entry] : importance.entries) {
    ++coverage.entries;
    for (const int64_t count : entry.counts) {
      ++coverage.matrices;
      if (count == 0) ++coverage.cold;
    }
  }
  return coverage;
}

void name_cold_experts(const tensor::Importance& importance) {
  for (const auto& [name, entry] : importance.entries) {
    if (!base::ends_with(name, "ffn_down_exps.weight")) continue;
    std::string experts;
    for (size_t e = 0; e < entry.counts.size(); ++e) {
      if (entry.counts[e] == 0) experts += (experts.empty() ? "" : " ") + std::to_string(e);
    }
    if (!experts.empty()) {
      base::warn("%s: no token reached expert %s; give more text", name.c_str(), experts.c_str());
    }
  }
}

class Calibrate : public Command {
 public:
  std::string verb() const override { return "calibrate"; }
  std::string summary() const override { return "measure which weights matter (imatrix)"; }
  std::string usage() const override { return "-m MODEL -f TEXT... -o OUT.gguf [options]"; }

  void declare(Options& options) override {
    options.text("-m,--model", "MODEL", model_, "HF folder or GGUF file").required = true;
    options.list("-f,--file", "TEXT", files_, "calibration texts").required = true;
    options.text("-o,--output", "OUT.gguf", out_, "the imatrix to write").required = true;
    options.integer("-c,--ctx-size", "N", ctx_, "tokens per chunk (default 512)", 4);
    options.integer("--chunks", "N", chunks_, "use at most N chunks", 1);
    options.integer("--tokens", "N", tokens_, "use at most N tokens (whole chunks)", 1);
    options.flag("--process-output", process_output_, "also for output.weight");
    options.flag("--parse-special", parse_special_, "special tokens in the texts are tokens");
    options.flag("--no-mtp", no_mtp_, "leave the MTP block out");
    options.choice("--activations", {"f32", "bf16", "stock"}, activations_,
                   "rounding of the layers' inputs (default f32)");
  }

  void run(const Common& common) override {
    if (!base::ends_with(out_, ".gguf")) {
      throw base::fail(base::ErrorKind::usage, "-o %s: a name ending in .gguf is expected",
                       base::printable(out_).c_str());
    }
    const model::OpenedModel opened = model::open_model(model_);
    std::vector<std::string> inputs = opened.files;
    inputs.insert(inputs.end(), files_.begin(), files_.end());
    base::check_output(out_, {.force = common.force, .inputs = inputs});
    const calib::Corpus corpus = calib::read_corpus(files_, make_tokenizer(opened),
                                                    {.chunk_size = ctx_,
                                                     .chunks_max = chunks_,
                                                     .tokens_max = tokens_,
                                                     .parse_special = parse_special_});
    const auto model = load_resident(opened, !no_mtp_, common);
    base::ThreadPool pool(common.thread_count());
    calib::CalibrateOptions options;
    options.process_output = process_output_;
    options.forward.activations = activations_named(activations_);
    tensor::Importance importance = calib::calibrate(*model, corpus, options, pool);
    for (const std::string& file : files_) importance.datasets.push_back(base::file_name(file));
    name_cold_experts(importance);
    const int64_t mtp_layers = model->mtp() != nullptr ? opened.config.mtp_layers : 0;
    format::write_imatrix(out_, importance, static_cast<uint32_t>(mtp_layers));
    report(common, corpus, coverage_of(importance));
  }

 private:
  void report(const Common& common, const calib::Corpus& corpus, const Coverage& coverage) const {
    const int64_t tokens = corpus.chunks * corpus.chunk_size;
    if (common.json) {
      base::Json json = base::Json::object();
      json.set("output", out_);
      json.set("chunks", corpus.chunks);
      json.set("tokens", tokens);
      json.set("entries", coverage.entries);
      json.set("matrices", coverage.matrices);
      json.set("matrices_without_data", coverage.cold);
      print_json(std::move(json));
    } else if (common.quiet) {
      print(out_ + "\n");
    } else {
      print(base::strf(
          "%s: %lld entries from %lld chunks of %lld tokens; %lld of %lld matrices "
          "without data\n",
          out_.c_str(), static_cast<long long>(coverage.entries),
          static_cast<long long>(corpus.chunks), static_cast<long long>(corpus.chunk_size),
          static_cast<long long>(coverage.cold), static_cast<long long>(coverage.matrices)));
    }
  }

  std::string model_, out_, activations_ = "f32";
  std::vector<std::string> files_;
  int64_t ctx_ = 512, chunks_ = -1, tokens_ = -1;
  bool process_output_ = false, parse_special_ = false, no_mtp_ = false;
};

}  // namespace

std::unique_ptr<Command> make_calibrate() { return std::make_unique<Calibrate>(); }

}  // namespace karat::cli
