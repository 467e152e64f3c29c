#include "cli/command.h"
#include "model/summary.h"

namespace karat::cli {

namespace {

class Inspect : public Command {
 public:
  std::string verb() const override { return "inspect"; }
  std::string summary() const override { return "says what a model is: sizes, types, tokenizer"; }
  std::string usage() const override { return "MODEL [--tensors] [--json]"; }

  void declare(Options& options) override {
    options.text("MODEL", "MODEL", model_, "HF folder or GGUF file (the first of several shards)")
        .required = true;
    options.flag("--tensors", tensors_, "list every tensor");
  }

  void run(const Common& common) override {
    const model::OpenedModel model = model::open_model(model_);
    if (common.json) {
      print_json(model::summary_json(model, tensors_));
    } else {
      print(model::summary_text(model, tensors_));
    }
  }

 private:
  std::string model_;
  bool tensors_ = false;
};

}  // namespace

std::unique_ptr<Command> make_inspect() { return std::make_unique<Inspect>(); }

}  // namespace karat::cli
