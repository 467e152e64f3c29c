#include <algorithm>

#include "base/error.h"
#include "cli/command.h"
#include "cli/load.h"
#include "cli/plan_command.h"
#include "recipe/plan.h"
#include "recipe/presets.h"

namespace karat::cli {

using base::ErrorKind;
using base::fail;

namespace {

class Plan : public Command {
 public:
  std::string verb() const override { return "plan"; }
  std::string summary() const override {
    return "choose every tensor's type for a size; say what fits into memory";
  }
  std::string usage() const override {
    return "-m MODEL --stats STATS (--target-bpw X|--target-size S|--like TYPE|--fit-ram S) [-o "
           "PLAN]\n"
           "       karat plan --fit -m MODEL [-c N] [--mem-limit SIZE] [options]";
  }

  void declare(Options& options) override {
    PlanRequest& r = request_;
    options.text("-m,--model", "MODEL", r.model, "HF folder or GGUF file").required = true;
    options.text("--stats", "STATS", r.stats, "the folder that karat calibrate -o STATS wrote");
    options.text("-o,--output", "PLAN", r.out, "the plan to write, for karat quantize --plan");
    options.number("--target-bpw", "X", r.bpw, "bits per weight, of all tensors");
    options.bytes("--target-size", "SIZE", r.size, "bytes of the file, head and all");
    options.text("--like", "TYPE", r.like, "as many bytes as TYPE of quantize takes").choices =
        preset_names();
    options.bytes("--fit-ram", "SIZE", r.fit_ram, "memory to run in, with the context of -c");
    options.choice("--effort", recipe::effort_names(), r.effort,
                   "how much is measured: fast, balanced (the default) or best");
    options.text("--recipe", "RECIPE", r.recipe,
                 "TOML: types to choose from, floors, fixed types, groups");
    options.flag("--explain", r.explain, "print every tensor: type, bytes, error, gain, damage");
    options.text("--tensor-types", "FILE", r.tensor_types,
                 "write the types for llama-quantize --tensor-type-file, too");
    options.text("--cache", "FOLDER", r.cache, "what was measured (default: in STATS)");
    options.flag("--fit", fit_, "what running MODEL takes; reads no weights, plans nothing");
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
    if (!fit_) {
      request_.memory = {.context = ctx_ > 0 ? ctx_ : kContextDefault,
                         .sequences = sequences_,
                         .with_mtp = mtp_,
                         .cache = cache_.types(),
                         .piece_tokens = ubatch_};
      make_plan_file(request_, common);
      return;
    }
    const model::OpenedModel opened = model::open_model(request_.model);
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
      print_json(fit_json(request_.model, fit));
    } else {
      print(fit_text(request_.model, fit));
    }
    if (!fit.fits()) throw fail(ErrorKind::memory, "%s", fit_refusal(request_.model, fit).c_str());
  }

 private:
  static std::vector<std::string> preset_names() {
    std::vector<std::string> names;
    for (const recipe::Preset& preset : recipe::presets()) names.emplace_back(preset.name);
    return names;
  }

  PlanRequest request_;
  bool fit_ = false, mtp_ = false;
  int64_t ctx_ = 0, sequences_ = 1, ubatch_ = exec::Session::kPieceTokens;
  CacheNames cache_;
};

}  // namespace

std::unique_ptr<Command> make_plan() { return std::make_unique<Plan>(); }

}  // namespace karat::cli
