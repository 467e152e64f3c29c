#include <algorithm>

#include "base/error.h"
#include "cli/command.h"
#include "cli/load.h"

namespace karat::cli {

using base::ErrorKind;
using base::fail;

namespace {

class Plan : public Command {
 public:
  std::string verb() const override { return "plan"; }
  std::string summary() const override { return "say what fits into memory"; }
  std::string usage() const override {
    return "--fit -m MODEL [-c N] [--mem-limit SIZE] [options]";
  }

  void declare(Options& options) override {
    options.flag("--fit", fit_, "what running MODEL takes; reads no weights");
    options.text("-m,--model", "MODEL", model_, "HF folder or GGUF file").required = true;
    options.integer("-c,--ctx-size", "N", ctx_, "context in tokens (default: 4096 or the model's)",
                    1, int64_t{1} << 32);
    options.integer("-np,--parallel", "N", sequences_, "sequences at the same time (default 1)", 1,
                    1 << 16);
    options.integer("-ub,--ubatch-size", "N", ubatch_,
                    "tokens that go through the model at a time (default 512)", 1, 1 << 20);
    options.flag("--mtp", mtp_, "count the MTP block");
    cache_.declare(options);
  }

  void run(const Common& common) override {
    if (!fit_) throw fail(ErrorKind::usage, "plan: --fit is missing, the one form that there is");
    const model::OpenedModel opened = model::open_model(model_);
    const int64_t context =
        ctx_ > 0 ? ctx_ : std::min<int64_t>(kContextDefault, opened.config.context_max);
    const Fit fit = fit_of(opened,
                           {.context = context,
                            .sequences = sequences_,
                            .with_mtp = mtp_ && opened.config.mtp_layers > 0,
                            .cache = cache_.types(),
                            .piece_tokens = ubatch_},
                           common);
    if (common.json) {
      print_json(fit_json(model_, fit));
    } else {
      print(fit_text(model_, fit));
    }
    if (!fit.fits()) throw fail(ErrorKind::memory, "%s", fit_refusal(model_, fit).c_str());
  }

 private:
  std::string model_;
  bool fit_ = false, mtp_ = false;
  int64_t ctx_ = 0, sequences_ = 1, ubatch_ = exec::Session::kPieceTokens;
  CacheNames cache_;
};

}  // namespace

std::unique_ptr<Command> make_plan() { return std::make_unique<Plan>(); }

}  // namespace karat::cli
