// The conversation behind `chat`: messages -> prompt -> tokens -> reply, turn by turn.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "base/json.h"
#include "exec/sampler.h"
#include "exec/session.h"
#include "text/chat_template.h"
#include "text/reply_parser.h"
#include "text/tokenizer.h"

namespace karat::cli {

class ChatTurns {
 public:
  struct Options {
    const text::Tokenizer& tokenizer;  // must outlive the object
    text::ChatTemplate chat_template;
    exec::SamplerOptions sampling;
    int64_t reply_max = -1;  // tokens; -1: until the model or the context ends
    std::string reasoning;   // "on", "off" or "" (the template's default)
    bool show_reasoning = true;
  };
  struct Outcome {
    text::Reply reply;
    std::string stop;  // "end", "length", "context" or "interrupt"
    int64_t prompt_tokens = 0, reply_tokens = 0;
    double prompt_seconds = 0, reply_seconds = 0;
    base::Json json() const;
  };

  ChatTurns(Options options, exec::Session session);

  void system(const std::string& text);
  // Adds the user's message, streams the reply's text to `show` and remembers it. A pending signal
  // ends the reply. Error{bad_input} if the prompt alone does not fit the context; the message is
  // then forgotten.
  Outcome user(const std::string& text, const std::function<void(const std::string&)>& show);

 private:
  std::vector<int32_t> prompt_tokens(std::string& rendered) const;
  std::span<const float> feed_prompt(const std::vector<int32_t>& tokens, Outcome& outcome);
  void generate(std::span<const float> logits, bool in_thinking, Outcome& outcome,
                const std::function<void(const std::string&)>& show);

  Options options_;
  exec::Session session_;
  base::Json messages_ = base::Json::array();
  std::vector<int32_t> fed_;  // tokens the session holds
};

}  // namespace karat::cli
