#include "cli/chat_turn.h"

#include <algorithm>
#include <chrono>

#include "base/error.h"
#include "base/interrupt.h"
#include "base/text.h"

namespace karat::cli {

namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

base::Json message(const char* role, const std::string& content) {
  base::Json json = base::Json::object();
  json.set("role", role);
  json.set("content", content);
  return json;
}

// Tokens that may be drawn: all up to the last that is not padding.
int64_t usable_tokens(const text::TokenizerSpec& spec) {
  auto usable = static_cast<int64_t>(spec.types.size());
  while (usable > 1 && spec.types[static_cast<size_t>(usable - 1)] == text::TokenType::unused) {
    --usable;
  }
  return usable;
}

// Turns parser events into what a person reads: reasoning between marks, then the content.
class Display {
 public:
  Display(bool show_reasoning, const std::function<void(const std::string&)>& show)
      : show_reasoning_(show_reasoning), show_(show) {}

  void take(const std::vector<text::ReplyEvent>& events) {
    for (const text::ReplyEvent& event : events) {
      if (event.kind == text::ReplyEvent::Kind::reasoning && show_reasoning_) {
        show_((reasoning_ ? "" : "[thinking]\n") + event.text);
        reasoning_ = true;
      } else if (event.kind == text::ReplyEvent::Kind::content) {
        show_((reasoning_ && !content_ ? "\n[/thinking]\n" : "") + event.text);
        content_ = true;
      } else if (event.kind == text::ReplyEvent::Kind::tool_call_complete) {
        show_("[tool call " + event.text + " " + event.value.dump() + "]");
      }
    }
  }

 private:
  bool show_reasoning_, reasoning_ = false, content_ = false;
  const std::function<void(const std::string&)>& show_;
};

}  // namespace

base::Json ChatTurns::Outcome::json() const {
  base::Json out = base::Json::object();
  out.set("content", reply.content);
  out.set("reasoning", reply.reasoning);
  out.set("stop", stop);
  out.set("prompt_tokens", prompt_tokens);
  out.set("reply_tokens", reply_tokens);
  out.set("prompt_tokens_per_second",
          prompt_seconds > 0 ? static_cast<double>(prompt_tokens) / prompt_seconds : 0.0);
  out.set("reply_tokens_per_second",
          reply_seconds > 0 ? static_cast<double>(reply_tokens) / reply_seconds : 0.0);
  return out;
}

ChatTurns::ChatTurns(Options options, exec::Session session)
    : options_(std::move(options)), session_(std::move(session)) {}

void ChatTurns::system(const std::string& text) { messages_.push(message("system", text)); }

std::vector<int32_t> ChatTurns::prompt_tokens(std::string& rendered) const {
  text::RenderOptions render;
  if (!options_.reasoning.empty()) render.enable_thinking = options_.reasoning == "on";
  const text::RenderedPrompt prompt =
      options_.chat_template.render_marked(messages_, base::Json(), render);
  // What the user wrote stays text, even if it spells a special token.
  const std::vector<uint32_t> ids =
      options_.tokenizer.encode(prompt.text, {.parse_special = true, .ordinary = prompt.input});
  rendered = prompt.text;
  return {ids.begin(), ids.end()};
}

// Feeds what the session does not hold yet; if the new prompt does not continue what it holds (a
// template may drop earlier reasoning), it starts over.
std::span<const float> ChatTurns::feed_prompt(const std::vector<int32_t>& tokens,
                                              Outcome& outcome) {
  const Clock::time_point start = Clock::now();
  const bool continues =
      fed_.size() < tokens.size() && std::equal(fed_.begin(), fed_.end(), tokens.begin());
  if (!continues) {
    session_.clear();
    fed_.clear();
  }
  const auto rest = std::span(tokens).subspan(fed_.size());
  const std::span<const float> logits = session_.feed(rest);
  outcome.prompt_tokens = static_cast<int64_t>(rest.size());
  outcome.prompt_seconds = seconds_since(start);
  fed_ = tokens;
  return logits;
}

void ChatTurns::generate(std::span<const float> logits, bool in_thinking, Outcome& outcome,
                         const std::function<void(const std::string&)>& show) {
  const Clock::time_point start = Clock::now();
  const int64_t usable = usable_tokens(options_.tokenizer.spec());
  exec::Sampler sampler(options_.sampling);
  text::IncrementalDecoder decoder(options_.tokenizer);
  text::ReplyParser parser(in_thinking);
  Display display(options_.show_reasoning, show);
  for (;;) {
    if (base::pending_signal() != 0) outcome.stop = "interrupt";
    if (options_.reply_max >= 0 && outcome.reply_tokens >= options_.reply_max)
      outcome.stop = "length";
    if (!outcome.stop.empty()) break;
    const int32_t token = sampler.next(logits, usable);
    if (options_.tokenizer.is_end(static_cast<uint32_t>(token))) {
      outcome.stop = "end";
      break;
    }
    ++outcome.reply_tokens;
    display.take(parser.feed(decoder.push(static_cast<uint32_t>(token))));
    if (session_.room() < 1) {
      outcome.stop = "context";
      break;
    }
    logits = session_.feed(std::span(&token, 1));
    fed_.push_back(token);
  }
  display.take(parser.feed(decoder.flush()));
  display.take(parser.finish());
  outcome.reply = parser.reply();
  outcome.reply_seconds = seconds_since(start);
}

ChatTurns::Outcome ChatTurns::user(const std::string& text,
                                   const std::function<void(const std::string&)>& show) {
  messages_.push(message("user", text));
  std::string rendered;
  const std::vector<int32_t> tokens = prompt_tokens(rendered);
  const int64_t context = session_.length() + session_.room();
  if (static_cast<int64_t>(tokens.size()) > context) {
    messages_.as_array().pop_back();
    throw base::fail(
        base::ErrorKind::bad_input,
        "the conversation has %zu tokens, the context %lld; start again or use a larger -c",
        tokens.size(), static_cast<long long>(context));
  }
  Outcome outcome;
  const std::span<const float> logits = feed_prompt(tokens, outcome);
  generate(logits, text::prompt_opens_thinking(rendered), outcome, show);
  base::Json reply = message("assistant", outcome.reply.content);
  if (!outcome.reply.reasoning.empty()) reply.set("reasoning_content", outcome.reply.reasoning);
  messages_.push(std::move(reply));
  return outcome;
}

}  // namespace karat::cli
