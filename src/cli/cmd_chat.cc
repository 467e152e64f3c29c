#include <cstdio>
#include <iostream>

#include "base/error.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "base/text.h"
#include "cli/chat_turn.h"
#include "cli/command.h"
#include "cli/load.h"
#include "cli/terminal.h"

namespace karat::cli {

namespace {

class Chat : public Command {
 public:
  std::string verb() const override { return "chat"; }
  std::string summary() const override { return "talk to a model"; }
  std::string usage() const override { return "-m MODEL [-p TEXT] [-sys TEXT] [options]"; }

  void declare(Options& options) override {
    options.text("-m,--model", "MODEL", model_, "HF folder or GGUF file").required = true;
    options.text("-p,--prompt", "TEXT", prompt_, "answer this and end").accept =
        [this](const std::string& given) { prompt_ = given, has_prompt_ = true; };
    options.text("-sys,--system-prompt", "TEXT", system_, "the system message");
    options.integer("-n,--predict", "N", reply_max_, "at most N tokens per reply", 1);
    options.integer("-c,--ctx-size", "N", ctx_, "context in tokens (default: 4096 or the model's)",
                    8);
    options.number("--temp", "X", sampling_.temperature,
                   "temperature; 0 takes the likeliest token");
    options.integer("--top-k", "N", sampling_.top_k, "only the N likeliest tokens; 0: all", 0);
    options.number("--top-p", "X", sampling_.top_p, "only the likeliest tokens that reach mass X");
    options.number("--min-p", "X", sampling_.min_p,
                   "only tokens of X times the best's probability");
    options.number("--presence-penalty", "X", sampling_.presence_penalty,
                   "taken from the logits of tokens already in the reply");
    cache_.declare(options);
    options.choice("--reasoning", {"on", "off"}, reasoning_, "let the model think first");
  }

  void run(const Common& common) override {
    check_sampling();
    sampling_.seed = static_cast<uint64_t>(common.seed);
    const model::OpenedModel opened = model::open_model(model_);
    const text::Tokenizer tokenizer = make_tokenizer(opened);
    if (opened.chat_template.empty()) {
      throw base::fail(base::ErrorKind::bad_input, "%s: has no chat template",
                       base::printable(model_).c_str());
    }
    const int64_t model_max = opened.config.context_max;
    const int64_t context = std::min(ctx_ > 0 ? ctx_ : kContextDefault, model_max);
    base::ThreadPool pool(common.thread_count());
    const auto model =
        load_for_sessions(opened, {.context = context, .cache = cache_.types()}, common, pool);
    ChatTurns turns({.tokenizer = tokenizer,
                     .chat_template = text::ChatTemplate(opened.chat_template),
                     .sampling = sampling_,
                     .reply_max = reply_max_,
                     .reasoning = reasoning_,
                     .show_reasoning = !common.quiet},
                    exec::Session(*model, pool, context, {.activations = model->activations()},
                                  cache_.types()));
    if (!system_.empty()) turns.system(system_);
    if (has_prompt_) {
      one_reply(turns, prompt_, common);
      base::stop_if_interrupted();
    } else {
      converse(turns, common);
    }
  }

 private:
  void check_sampling() const {
    const bool fits = sampling_.temperature >= 0 && sampling_.top_p > 0 && sampling_.top_p <= 1 &&
                      sampling_.min_p >= 0 && sampling_.min_p <= 1;
    if (!fits) {
      throw base::fail(base::ErrorKind::usage,
                       "--temp must be 0 or more, --top-p in (0, 1], --min-p in [0, 1]");
    }
  }

  static void one_reply(ChatTurns& turns, const std::string& text, const Common& common) {
    const ChatTurns::Outcome outcome = turns.user(text, [&](const std::string& piece) {
      if (!common.json) print(piece);
    });
    if (common.json) {
      print_json(outcome.json());
      return;
    }
    print("\n");
    if (outcome.stop == "context") base::info("the context is full: the reply ends here");
    if (outcome.stop == "length") base::info("the reply was cut after -n tokens");
  }

  // Lines from stdin until its end; Ctrl-C ends a reply, at the prompt it ends the program.
  static void converse(ChatTurns& turns, const Common& common) {
    std::string line;
    for (;;) {
      if (base::stderr_is_terminal()) std::fputs("> ", stderr);
      if (!std::getline(std::cin, line)) break;
      if (line.empty()) continue;
      one_reply(turns, line, common);
      base::clear_signal();
    }
    base::stop_if_interrupted();
  }

  std::string model_, prompt_, system_, reasoning_;
  CacheNames cache_;
  bool has_prompt_ = false;
  int64_t reply_max_ = -1, ctx_ = 0;
  exec::SamplerOptions sampling_;
};

}  // namespace

std::unique_ptr<Command> make_chat() { return std::make_unique<Chat>(); }

}  // namespace karat::cli
