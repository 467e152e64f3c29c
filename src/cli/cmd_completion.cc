#include "cli/command.h"
#include "cli/completion.h"

namespace karat::cli {

namespace {

class Completion : public Command {
 public:
  std::string verb() const override { return "completion"; }
  std::string summary() const override { return "prints a completion script for a shell"; }
  std::string usage() const override { return "bash|zsh|fish"; }

  void declare(Options& options) override {
    options
        .choice("SHELL", {"bash", "zsh", "fish"}, shell_,
                "bash, zsh: source <(karat completion bash); fish: karat completion fish | source")
        .required = true;
  }

  void run(const Common& common) override {
    const std::vector<VerbTable> verbs = verb_tables();
    const std::string script = shell_ == "bash"  ? bash_completion(verbs)
                               : shell_ == "zsh" ? zsh_completion(verbs)
                                                 : fish_completion(verbs);
    if (!common.json) {
      print(script);
      return;
    }
    base::Json json = base::Json::object();
    json.set("shell", shell_);
    json.set("script", script);
    print_json(json);
  }

 private:
  std::string shell_;
};

}  // namespace

std::unique_ptr<Command> make_completion() { return std::make_unique<Completion>(); }

}  // namespace karat::cli
