#include <algorithm>
#include <filesystem>

#include "base/error.h"
#include "base/file.h"
#include "base/text.h"
#include "cli/command.h"
#include "cli/divergence_run.h"
#include "cli/eval_report.h"
#include "cli/load.h"
#include "cli/scored_model.h"
#include "eval/perplexity.h"

namespace karat::cli {

using base::ErrorKind;
using base::fail;

namespace {

class Eval : public Command {
 public:
  std::string verb() const override { return "eval"; }
  std::string summary() const override { return "measure a model: perplexity, KL divergence"; }
  std::string usage() const override {
    return "ppl -m MODEL -f TEXT [options]\n"
           "       karat eval kld -m MODEL --ref MODEL -f TEXT [options]\n"
           "       karat eval kld -m MODEL --ref MODEL --ref-hidden FILE [options]\n"
           "       karat eval kld -m MODEL --kl-divergence-base FILE [options]";
  }

  void declare(Options& options) override {
    options.choice("WHAT", {"ppl", "kld"}, what_, "ppl (perplexity) or kld (divergence)").required =
        true;
    options.text("-m,--model", "MODEL", model_, "HF folder or GGUF file").required = true;
    options.text("-f,--file", "TEXT", file_, "the text to score");
    options.text("--ref", "MODEL", reference_, "kld: the reference model");
    options.text("--against", "MODEL", against_,
                 "kld: a second candidate: the two in pairs, chunk by chunk");
    options.flag("--floor", floor_,
                 "kld: the reference against itself in bf16 and with int8 rows, beside every KLD");
    options.text("--kl-divergence-base", "FILE", base_,
                 "ppl: write the logits file; kld: read the reference from it");
    options.text("--save-hidden", "FILE", save_hidden_,
                 "ppl: keep the final hidden rows, a 60th of the logits file");
    options.text("--ref-hidden", "FILE", reference_hidden_,
                 "kld: those of --ref, of which only the output matrix is read then");
    options.choice("--stream", {"auto", "on", "off"}, stream_,
                   "read models block by block, once; auto: if they do not fit into memory");
    options.integer("-c,--ctx-size", "N", ctx_, "tokens per chunk (default 512)", 4);
    options.integer("--chunks", "N", chunks_, "score at most N chunks", 1);
    options.choice(
        "--activations", {"f32", "bf16", "stock", "q8"}, activations_,
        "rounding of the layers' inputs; stock: as llama.cpp's CPU backend; q8: as chat does, "
        "with integer products (default f32)");
    options.choice("--ref-activations", {"f32", "bf16", "stock", "q8"}, reference_activations_,
                   "the same for --ref (default f32)");
    options.number("--max-kld", "X", kld_max_, "kld: exit status 6 if the mean is above X");
  }

  void run(const Common& common) override {
    if (what_ == "ppl") {
      run_ppl(common);
    } else {
      run_kld(common);
    }
  }

 private:
  eval::ScoreOptions score_options(const std::string& activations) const {
    eval::ScoreOptions options;
    options.forward.activations = activations_named(activations);
    return options;
  }

  void check_output(const std::string& out, const ScoredModel& model, const Common& common) const {
    if (out.empty()) return;
    std::vector<std::string> inputs = model.opened().files;
    inputs.push_back(file_);
    base::check_output(out, {.force = common.force, .inputs = inputs});
  }

  void check_ppl_options() const {
    const auto refuse = [](const char* problem) { throw fail(ErrorKind::usage, "%s", problem); };
    if (!reference_.empty()) refuse("--ref belongs to eval kld");
    if (!reference_hidden_.empty()) refuse("--ref-hidden belongs to eval kld");
    if (!against_.empty()) refuse("--against belongs to eval kld");
    if (floor_) refuse("--floor belongs to eval kld");
    if (save_hidden_.empty()) return;
    if (stream_ == "off") {
      refuse("--save-hidden takes the model block by block; leave --stream off out");
    }
    const auto normal = [](const std::string& path) {
      return std::filesystem::path(path).lexically_normal();
    };
    if (normal(base_) == normal(save_hidden_)) {
      refuse("--save-hidden and --kl-divergence-base name the same file");
    }
  }

  void run_ppl(const Common& common) {
    check_ppl_options();
    ScoredModel model(model_);
    check_output(base_, model, common);
    check_output(save_hidden_, model, common);
    const ScoredText text(file_, model.opened(), ctx_, chunks_);
    const eval::Chunks chunks = text.chunks();
    base::ThreadPool pool(common.thread_count());
    const eval::ScoreOptions options = score_options(activations_);
    if (!save_hidden_.empty() ||
        go_by_block(stream_, model.resident_bytes(chunks, options), common)) {
      model.stream(chunks, options, common, pool);
    } else {
      model.load(chunks, options, common, pool);
    }
    if (!save_hidden_.empty()) eval::write_hidden_rows(save_hidden_, model.hidden());
    const eval::PerplexityResult result = eval::measure_perplexity(
        model.scorer(), base_, static_cast<uint64_t>(common.seed), pool, nullptr);
    if (common.json) {
      print_json(perplexity_json(result));
    } else {
      print(perplexity_text(result));
    }
  }

  void run_kld(const Common& common) {
    if (!save_hidden_.empty()) throw fail(ErrorKind::usage, "--save-hidden belongs to eval ppl");
    const DivergenceRequest request{.model = model_,
                                    .against = against_,
                                    .reference = reference_,
                                    .base = base_,
                                    .reference_hidden = reference_hidden_,
                                    .text = file_,
                                    .stream = stream_,
                                    .options = score_options(activations_),
                                    .reference_options = score_options(reference_activations_),
                                    .floor = floor_,
                                    .n_ctx = ctx_,
                                    .chunks_max = chunks_};
    const DivergenceReport report = run_divergence(request, common);
    if (common.json) {
      print_json(divergence_json(report));
    } else {
      print(divergence_text(report));
    }
    const double kld = report.model.kld.value;
    if (kld_max_ >= 0 && !(kld <= kld_max_)) {
      throw fail(ErrorKind::gate, "mean KLD %.6f is above --max-kld %.6f", kld, kld_max_);
    }
  }

  std::string what_, model_, file_, reference_, base_, save_hidden_, reference_hidden_, against_;
  std::string stream_ = "auto";
  std::string activations_ = "f32", reference_activations_ = "f32";
  int64_t ctx_ = 512, chunks_ = -1;
  double kld_max_ = -1;
  bool floor_ = false;
};

}  // namespace

std::unique_ptr<Command> make_eval() { return std::make_unique<Eval>(); }

}  // namespace karat::cli
