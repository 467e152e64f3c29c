#include "base/file.h"
#include "cli/command.h"
#include "cli/inspect_report.h"
#include "format/imatrix.h"
#include "model/summary.h"

namespace karat::cli {

namespace {

class Inspect : public Command {
 public:
  std::string verb() const override { return "inspect"; }
  std::string summary() const override { return "says what a model is: sizes, types, tokenizer"; }
  std::string usage() const override { return "MODEL [--tensors] [--json]"; }

  void declare(Options& options) override {
    options
        .text("MODEL", "MODEL", model_,
              "HF folder, GGUF file (the first of several shards) or imatrix")
        .required = true;
    options.flag("--tensors", tensors_, "list every tensor");
  }

  void run(const Common& common) override {
    switch (kind()) {
      case Kind::imatrix: {
        const tensor::Importance importance = format::read_imatrix(model_);
        say(
            common, [&] { return imatrix_text(importance, tensors_); },
            [&] { return imatrix_json(importance, tensors_); });
        break;
      }
      case Kind::vision: {
        const format::GgufSource source(model_);
        say(
            common, [&] { return gguf_text(source, tensors_); },
            [&] { return gguf_json(source, tensors_); });
        break;
      }
      case Kind::model: {
        const model::OpenedModel model = model::open_model(model_);
        say(
            common, [&] { return model::summary_text(model, tensors_); },
            [&] { return model::summary_json(model, tensors_); });
        break;
      }
    }
  }

 private:
  enum class Kind { model, vision, imatrix };

  // What is no file, or none that can be read, is left to open_model, which knows what to say.
  Kind kind() const {
    if (base::is_directory(model_) || !base::file_exists(model_)) return Kind::model;
    if (format::is_imatrix(model_)) return Kind::imatrix;
    if (!format::is_gguf(model_)) return Kind::model;
    const format::Metadata metadata = format::GgufSource(model_).metadata();
    return metadata.get_string("general.architecture", "") == "clip" ? Kind::vision : Kind::model;
  }

  template <class Text, class Object>
  static void say(const Common& common, Text text, Object object) {
    if (common.json) {
      print_json(object());
    } else {
      print(text());
    }
  }

  std::string model_;
  bool tensors_ = false;
};

}  // namespace

std::unique_ptr<Command> make_inspect() { return std::make_unique<Inspect>(); }

}  // namespace karat::cli
