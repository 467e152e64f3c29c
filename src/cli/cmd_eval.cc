#include <algorithm>
#include <filesystem>

#include "base/error.h"
#include "base/file.h"
#include "base/text.h"
#include "calib/corpus.h"
#include "cli/command.h"
#include "cli/eval_report.h"
#include "cli/load.h"
#include "cli/scored_model.h"
#include "eval/divergence.h"
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
  // The text's chunks under the model's tokenizer; corpus_ owns the tokens.
  eval::Chunks read_chunks(const model::OpenedModel& opened) {
    require_files(file_.empty() ? std::vector<std::string>{} : std::vector{file_});
    corpus_ = calib::read_corpus({file_}, make_tokenizer(opened),
                                 {.chunk_size = ctx_, .chunks_max = chunks_});
    const auto used = static_cast<size_t>(corpus_.chunks * ctx_);
    return {std::span<const int32_t>(corpus_.tokens).first(used), ctx_, corpus_.chunks};
  }

  eval::ScoreOptions score_options(const std::string& activations) const {
    eval::ScoreOptions options;
    options.forward.activations = activations_named(activations);
    return options;
  }

  // Whether models that take so many bytes together go block by block.
  bool streamed(uint64_t bytes, const Common& common) const {
    return stream_ == "auto" ? bytes > memory_allowed(common) : stream_ == "on";
  }

  void check_output(const std::string& out, const ScoredModel& model, const Common& common) const {
    if (out.empty()) return;
    std::vector<std::string> inputs = model.opened().files;
    inputs.push_back(file_);
    base::check_output(out, {.force = common.force, .inputs = inputs});
  }

  // `beside`: bytes that another model holds.
  void prepare(ScoredModel& model, bool by_block, const eval::Chunks& chunks,
               const eval::ScoreOptions& options, const Common& common, base::ThreadPool& pool,
               uint64_t beside = 0) const {
    if (by_block) {
      model.stream(chunks, options, common, pool, beside);
    } else {
      model.load(chunks, options, common, pool, beside);
    }
  }

  void check_ppl_options() const {
    const auto refuse = [](const char* problem) { throw fail(ErrorKind::usage, "%s", problem); };
    if (!reference_.empty()) refuse("--ref belongs to eval kld");
    if (!reference_hidden_.empty()) refuse("--ref-hidden belongs to eval kld");
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
    const eval::Chunks chunks = read_chunks(model.opened());
    base::ThreadPool pool(common.thread_count());
    const eval::ScoreOptions options = score_options(activations_);
    const bool by_block =
        !save_hidden_.empty() || streamed(model.resident_bytes(chunks, options), common);
    prepare(model, by_block, chunks, options, common, pool);
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
    if (!reference_hidden_.empty() && reference_.empty()) {
      throw fail(ErrorKind::usage,
                 "--ref-hidden needs --ref MODEL: its output matrix makes the logits");
    }
    if (reference_.empty() == base_.empty()) {
      throw fail(ErrorKind::usage,
                 "eval kld needs either --ref MODEL or --kl-divergence-base FILE");
    }
    const eval::DivergenceResult result =
        base_.empty() ? against_model(common) : against_file(common);
    if (common.json) {
      print_json(divergence_json(result));
    } else {
      print(divergence_text(result));
    }
    if (kld_max_ >= 0 && !(result.kld.value <= kld_max_)) {
      throw fail(ErrorKind::gate, "mean KLD %.6f is above --max-kld %.6f", result.kld.value,
                 kld_max_);
    }
  }

  eval::DivergenceResult against_model(const Common& common) {
    ScoredModel model(model_), reference(reference_);
    base::ThreadPool pool(common.thread_count());
    const auto seed = static_cast<uint64_t>(common.seed);
    const eval::ScoreOptions options = score_options(activations_);
    const eval::ScoreOptions reference_options = score_options(reference_activations_);
    eval::require_same_vocabulary(model.opened().config.vocab, reference.opened().config.vocab);
    if (!reference_hidden_.empty()) {
      if (!file_.empty())
        throw fail(ErrorKind::usage, "--ref-hidden has its own text; leave -f out");
      const eval::HiddenRowsReader rows(reference_hidden_, chunks_);
      require_memory(common, rows.bytes(), base::printable(reference_hidden_) + ": its rows");
      reference.take(rows.read(), reference_options, pool);
      const eval::Chunks chunks = reference.hidden().chunks();
      const uint64_t bytes = model.resident_bytes(chunks, options) + reference.held_bytes();
      prepare(model, streamed(bytes, common), chunks, options, common, pool,
              reference.held_bytes());
      return eval::measure_divergence(model.scorer(), reference.scorer(), seed, pool);
    }
    const eval::Chunks chunks = read_chunks(reference.opened());
    const bool by_block = streamed(
        model.resident_bytes(chunks, options) + reference.resident_bytes(chunks, reference_options),
        common);
    if (by_block) model.require_head();  // before the reference's pass, not after it
    prepare(reference, by_block, chunks, reference_options, common, pool);
    prepare(model, by_block, chunks, options, common, pool, reference.held_bytes());
    return eval::measure_divergence(model.scorer(), reference.scorer(), seed, pool);
  }

  eval::DivergenceResult against_file(const Common& common) {
    if (!file_.empty())
      throw fail(ErrorKind::usage, "the logits file has its own text; leave -f out");
    const eval::LogitsReader base(base_);
    ScoredModel model(model_);
    base::ThreadPool pool(common.thread_count());
    eval::require_same_vocabulary(model.opened().config.vocab, base.header().n_vocab);
    const eval::Chunks chunks = eval::chunks_of(base, chunks_);
    const eval::ScoreOptions options = score_options(activations_);
    prepare(model, streamed(model.resident_bytes(chunks, options), common), chunks, options, common,
            pool);
    return eval::measure_divergence(model.scorer(), base, static_cast<uint64_t>(common.seed), pool);
  }

  std::string what_, model_, file_, reference_, base_, save_hidden_, reference_hidden_;
  std::string stream_ = "auto";
  std::string activations_ = "f32", reference_activations_ = "f32";
  int64_t ctx_ = 512, chunks_ = -1;
  double kld_max_ = -1;
  calib::Corpus corpus_;
};

}  // namespace

std::unique_ptr<Command> make_eval() { return std::make_unique<Eval>(); }

}  // namespace karat::cli
