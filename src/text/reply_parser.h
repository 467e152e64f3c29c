// A model's reply, while it is being generated -> reasoning, content and tool calls.
//
// The family writes (after a prompt that ends inside the think block)
//   REASONING</think>\n\nCONTENT\n\n<tool_call>\n<function=NAME>\n<parameter=KEY>\nVALUE\n
//   </parameter>\n</function>\n</tool_call>
// and the older form <tool_call>{"name": NAME, "arguments": {..}}</tool_call> is understood too.
// Line breaks next to </think>, <tool_call> and </tool_call> are framing and dropped; of a VALUE
// exactly one line break is taken off each end. What only looks like a tag is content, unchanged.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace karat::text {

struct ToolCall {
  std::string name;
  base::Json arguments;  // an object, in the order written
};

// The whole reply so far.
struct Reply {
  std::string reasoning;
  std::string content;
  std::vector<ToolCall> tool_calls;  // complete ones only
};

struct ReplyEvent {
  enum class Kind {
    reasoning,           // text: the next piece of reasoning
    content,             // text: the next piece of content
    tool_call_start,     // text: the function's name
    tool_call_argument,  // text: the argument's name, value: its converted value
    tool_call_complete,  // text: the function's name, value: the object of all arguments
    // The started call turned out to be malformed or was never finished: it does not count, and
    // its text follows as content.
    tool_call_cancel,
  };
  Kind kind = Kind::content;
  std::string text;
  base::Json value;
  size_t call = 0;  // index of the tool call, for the tool_call kinds
};

class ReplyParser {
 public:
  // `in_thinking`: the prompt ended inside a think block (see prompt_opens_thinking). If not, a
  // reply that itself begins with <think> is understood as well. `tools`: the array given to the
  // template; its JSON schemas decide how arguments are converted: declared strings are taken as
  // they are, everything else is read as JSON where possible and else kept as a string.
  explicit ReplyParser(bool in_thinking, base::Json tools = {});

  // Takes the next piece of text and returns what became certain. Text that may be the beginning
  // of a tag, or a line break that may belong to one, is held back until more arrives. The
  // concatenation of all deltas depends on the text only, not on how it was cut into pieces.
  std::vector<ReplyEvent> feed(std::string_view piece);
  // The reply has ended: what was held back comes out as reasoning or content. Call once.
  std::vector<ReplyEvent> finish();

  const Reply& reply() const { return reply_; }

 private:
  enum class State { reasoning_start, reasoning, content_start, content, call };
  // Where in a call the text examined so far ends.
  enum class Part { begin, function_name, between, parameter_name, value, json, end };
  enum class Step { advanced, wait, malformed };

  bool process(bool final);
  bool start(bool final);
  bool reasoning(bool final);
  bool content(bool final);
  bool call(bool final);
  Step call_part();
  Step begin_call();
  Step begin_function();
  Step between_parameters();
  Step begin_parameter();
  Step value();
  Step json_call();
  Step end_call();
  void skip_blanks();
  Step expect(std::string_view tag);
  Step tag_name(std::string& name);
  void emit_reasoning(size_t end);
  void emit_content(size_t end);
  void emit_call(ReplyEvent::Kind kind, std::string text, base::Json argument);
  void add_argument(const std::string& name, const std::string& text);
  void abandon_call(size_t end);

  base::Json tools_;
  State state_;
  bool after_tag_ = false;  // line breaks at the start of pending_ are framing
  std::string pending_;     // not yet decided: a possible tag, or the text of an unfinished call
  // Of an unfinished call:
  Part part_ = Part::begin;
  size_t at_ = 0;        // how much of pending_ has been examined
  size_t begin_ = 0;     // where the current value, or the JSON, starts in pending_
  int depth_ = 0;        // open brackets of the JSON
  bool quoted_ = false;  // inside a string of the JSON
  bool started_ = false;
  ToolCall call_;
  std::string parameter_;

  Reply reply_;
  std::vector<ReplyEvent> events_;
};

// True if a prompt ends with an open think block ("<think>\n", as the generation prompt of the
// family does), so that the reply starts inside it.
bool prompt_opens_thinking(std::string_view prompt);

// The value of one argument written as text, by the parameter's JSON schema (null: not declared).
base::Json convert_argument(const std::string& text, const base::Json* schema);

}  // namespace karat::text
