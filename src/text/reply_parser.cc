#include "text/reply_parser.h"

#include <algorithm>
#include <optional>
#include <utility>

namespace karat::text {

using base::Json;
using Kind = ReplyEvent::Kind;

namespace {

constexpr std::string_view kThink = "<think>", kThinkEnd = "</think>", kCall = "<tool_call>",
                           kCallEnd = "</tool_call>",
                           kFunction = "<function=", kFunctionEnd = "</function>",
                           kParameter = "<parameter=", kParameterEnd = "</parameter>";
// Longest function or parameter name taken for one.
constexpr size_t kNameBytesMax = 512;
constexpr std::string_view kBlanks = " \t\r\n";

enum class Match { yes, no, maybe };

// Whether `tag` stands at `at`; maybe if the text ends before that is clear.
Match match(std::string_view text, size_t at, std::string_view tag) {
  const std::string_view rest = text.substr(std::min(at, text.size()), tag.size());
  if (rest == tag) return Match::yes;
  return tag.substr(0, rest.size()) == rest ? Match::maybe : Match::no;
}

size_t skip(std::string_view text, size_t at, std::string_view characters) {
  return std::min(text.find_first_not_of(characters, at), text.size());
}

// Where the line breaks that end at `end` begin.
size_t before_line_breaks(std::string_view text, size_t end) {
  while (end > 0 && text[end - 1] == '\n') --end;
  return end;
}

// How much of the text cannot belong to `tag` or to line breaks before it, whatever follows.
size_t decided(std::string_view text, std::string_view tag) {
  const size_t longest = std::min(tag.size() - 1, text.size());
  for (size_t size = longest; size > 0; --size) {
    if (text.substr(text.size() - size) == tag.substr(0, size)) {
      return before_line_breaks(text, text.size() - size);
    }
  }
  return before_line_breaks(text, text.size());
}

}  // namespace

ReplyParser::ReplyParser(bool in_thinking, Json tools)
    : tools_(std::move(tools)),
      state_(in_thinking ? State::reasoning_start : State::content_start) {}

std::vector<ReplyEvent> ReplyParser::feed(std::string_view piece) {
  pending_ += piece;
  while (process(false)) {
  }
  return std::exchange(events_, {});
}

std::vector<ReplyEvent> ReplyParser::finish() {
  while (process(true)) {
  }
  return std::exchange(events_, {});
}

// One step; false if nothing more can be decided.
bool ReplyParser::process(bool final) {
  if (pending_.empty()) return false;
  switch (state_) {
    case State::reasoning_start:
    case State::content_start:
      return start(final);
    case State::reasoning:
      return reasoning(final);
    case State::content:
      return content(final);
    case State::call:
      return call(final);
  }
  return false;
}

// A <think> that the model writes itself, at the very start.
bool ReplyParser::start(bool final) {
  const size_t tag = skip(pending_, 0, kBlanks);
  const Match found = match(pending_, tag, kThink);
  if (found == Match::maybe && !final) return false;
  const bool thinking = state_ == State::reasoning_start;
  if (found == Match::yes) {
    pending_.erase(0, tag + kThink.size());
    after_tag_ = true;
  }
  state_ = found == Match::yes || thinking ? State::reasoning : State::content;
  return true;
}

bool ReplyParser::reasoning(bool final) {
  if (after_tag_) {
    pending_.erase(0, skip(pending_, 0, "\n"));
    if (pending_.empty()) return false;
    after_tag_ = false;
  }
  const size_t tag = pending_.find(kThinkEnd);
  if (tag == std::string::npos) {
    emit_reasoning(final ? pending_.size() : decided(pending_, kThinkEnd));
    return false;
  }
  const size_t end = before_line_breaks(pending_, tag);
  const size_t framing = tag - end + kThinkEnd.size();
  emit_reasoning(end);
  pending_.erase(0, framing);
  state_ = State::content;
  after_tag_ = true;
  return true;
}

bool ReplyParser::content(bool final) {
  if (after_tag_) {
    pending_.erase(0, skip(pending_, 0, "\n"));
    if (pending_.empty()) return false;
    after_tag_ = false;
  }
  const size_t tag = pending_.find(kCall);
  if (tag == std::string::npos) {
    emit_content(final ? pending_.size() : decided(pending_, kCall));
    return false;
  }
  const size_t end = before_line_breaks(pending_, tag);
  emit_content(end);
  state_ = State::call;
  part_ = Part::begin;
  at_ = tag - end + kCall.size();
  started_ = false;
  call_ = {};
  call_.arguments = Json::object();
  return true;
}

bool ReplyParser::call(bool final) {
  const Step step = call_part();
  if (step == Step::malformed) {
    abandon_call(at_);
  } else if (step == Step::wait) {
    if (!final) return false;
    abandon_call(pending_.size());
  }
  return true;
}

ReplyParser::Step ReplyParser::call_part() {
  switch (part_) {
    case Part::begin:
      return begin_call();
    case Part::function_name:
      return begin_function();
    case Part::between:
      return between_parameters();
    case Part::parameter_name:
      return begin_parameter();
    case Part::value:
      return value();
    case Part::json:
      return json_call();
    case Part::end:
      return end_call();
  }
  return Step::malformed;
}

void ReplyParser::skip_blanks() { at_ = skip(pending_, at_, kBlanks); }

// Moves past `tag` if it is what comes next.
ReplyParser::Step ReplyParser::expect(std::string_view tag) {
  const Match found = match(pending_, at_, tag);
  if (found == Match::yes) at_ += tag.size();
  return found == Match::yes ? Step::advanced
                             : (found == Match::maybe ? Step::wait : Step::malformed);
}

ReplyParser::Step ReplyParser::begin_call() {
  skip_blanks();
  if (at_ < pending_.size() && pending_[at_] == '{') {
    part_ = Part::json;
    begin_ = at_;
    depth_ = 0;
    quoted_ = false;
    return Step::advanced;
  }
  const Step step = expect(kFunction);
  if (step == Step::advanced) part_ = Part::function_name;
  return step;
}

// The rest of <function=NAME> or <parameter=NAME>.
ReplyParser::Step ReplyParser::tag_name(std::string& name) {
  const size_t end = pending_.find_first_of("<>\n", at_);
  const size_t size = std::min(end, pending_.size()) - at_;
  if (size > kNameBytesMax) return Step::malformed;
  if (end == std::string::npos) return Step::wait;
  const size_t first = skip(pending_, at_, kBlanks);
  if (pending_[end] != '>' || first >= end) return Step::malformed;
  name = pending_.substr(first, pending_.find_last_not_of(kBlanks, end - 1) + 1 - first);
  at_ = end + 1;
  return Step::advanced;
}

ReplyParser::Step ReplyParser::begin_function() {
  const Step step = tag_name(call_.name);
  if (step != Step::advanced) return step;
  started_ = true;
  emit_call(Kind::tool_call_start, call_.name, {});
  part_ = Part::between;
  return step;
}

ReplyParser::Step ReplyParser::between_parameters() {
  skip_blanks();
  const Step parameter = expect(kParameter);
  if (parameter == Step::advanced) part_ = Part::parameter_name;
  if (parameter != Step::malformed) return parameter;
  const Step end = expect(kFunctionEnd);
  if (end == Step::advanced) part_ = Part::end;
  return end;
}

ReplyParser::Step ReplyParser::begin_parameter() {
  const Step step = tag_name(parameter_);
  if (step != Step::advanced) return step;
  part_ = Part::value;
  begin_ = at_;
  return step;
}

// A value ends at a </parameter> that is followed by another parameter or the function's end; any
// other is part of the value.
ReplyParser::Step ReplyParser::value() {
  for (;;) {
    const size_t tag = pending_.find(kParameterEnd, at_);
    if (tag == std::string::npos) {
      const size_t tail = std::min(kParameterEnd.size() - 1, pending_.size() - begin_);
      at_ = std::max(at_, pending_.size() - tail);
      return Step::wait;
    }
    const size_t next = skip(pending_, tag + kParameterEnd.size(), kBlanks);
    const Match parameter = match(pending_, next, kParameter);
    const Match function = match(pending_, next, kFunctionEnd);
    if (parameter == Match::yes || function == Match::yes) {
      size_t from = begin_, to = tag;
      if (from < to && pending_[from] == '\n') ++from;
      if (from < to && pending_[to - 1] == '\n') --to;
      at_ = next;
      part_ = Part::between;
      add_argument(parameter_, pending_.substr(from, to - from));
      return Step::advanced;
    }
    if (parameter == Match::maybe || function == Match::maybe) {
      at_ = tag;
      return Step::wait;
    }
    at_ = tag + kParameterEnd.size();
  }
}

// The end of the object is where its brackets close, outside of strings.
ReplyParser::Step ReplyParser::json_call() {
  for (; at_ < pending_.size(); ++at_) {
    const char c = pending_[at_];
    if (quoted_) {
      if (c == '\\') {
        if (at_ + 1 >= pending_.size()) return Step::wait;
        ++at_;
      } else if (c == '"') {
        quoted_ = false;
      }
      continue;
    }
    if (c == '"') quoted_ = true;
    if (c == '{' || c == '[') ++depth_;
    if ((c == '}' || c == ']') && --depth_ == 0) break;
  }
  if (at_ >= pending_.size()) return Step::wait;
  ++at_;
  const auto parsed = base::try_parse_json(std::string_view(pending_).substr(begin_, at_ - begin_));
  const Json* name = parsed ? parsed->find("name") : nullptr;
  const Json* given = parsed ? parsed->find("arguments") : nullptr;
  if (name == nullptr || !name->is_string() || given == nullptr) return Step::malformed;
  std::optional<Json> object;
  if (given->is_string()) object = base::try_parse_json(given->as_string());
  if (!object) object = *given;
  if (!object->is_object()) return Step::malformed;
  call_.name = name->as_string();
  started_ = true;
  emit_call(Kind::tool_call_start, call_.name, {});
  for (const auto& [key, argument] : object->as_object()) {
    emit_call(Kind::tool_call_argument, key, argument);
  }
  call_.arguments = std::move(*object);
  part_ = Part::end;
  return Step::advanced;
}

ReplyParser::Step ReplyParser::end_call() {
  skip_blanks();
  const Step step = expect(kCallEnd);
  if (step != Step::advanced) return step;
  emit_call(Kind::tool_call_complete, call_.name, call_.arguments);
  reply_.tool_calls.push_back(std::move(call_));
  pending_.erase(0, at_);
  state_ = State::content;
  after_tag_ = true;
  return step;
}

// The call is none: what was examined of it, framing included, is content.
void ReplyParser::abandon_call(size_t end) {
  if (started_) emit_call(Kind::tool_call_cancel, call_.name, {});
  emit_content(end);
  state_ = State::content;
}

void ReplyParser::emit_reasoning(size_t end) {
  if (end == 0) return;
  events_.push_back({Kind::reasoning, pending_.substr(0, end), {}, 0});
  reply_.reasoning.append(pending_, 0, end);
  pending_.erase(0, end);
}

void ReplyParser::emit_content(size_t end) {
  if (end == 0) return;
  events_.push_back({Kind::content, pending_.substr(0, end), {}, 0});
  reply_.content.append(pending_, 0, end);
  pending_.erase(0, end);
}

void ReplyParser::emit_call(Kind kind, std::string text, Json argument) {
  events_.push_back({kind, std::move(text), std::move(argument), reply_.tool_calls.size()});
}

namespace {

const Json* member(const Json* value, std::string_view key) {
  return value == nullptr || !value->is_object() ? nullptr : value->find(key);
}

// The schema that the tools declare for a parameter, or null.
const Json* parameter_schema(const Json& tools, const std::string& function,
                             const std::string& parameter) {
  if (!tools.is_array()) return nullptr;
  for (const Json& tool : tools.as_array()) {
    const Json* wrapped = member(&tool, "function");
    const Json* declared = wrapped != nullptr ? wrapped : &tool;
    const Json* name = member(declared, "name");
    if (name == nullptr || !name->is_string() || name->as_string() != function) continue;
    return member(member(member(declared, "parameters"), "properties"), parameter);
  }
  return nullptr;
}

// The JSON type names that a schema allows; none if it does not say.
std::vector<std::string> declared_types(const Json& schema, int depth = 0) {
  std::vector<std::string> out;
  const auto add = [&](const Json& type) {
    if (type.is_string()) out.push_back(type.as_string());
  };
  if (const Json* type = member(&schema, "type")) {
    add(*type);
    if (type->is_array()) std::for_each(type->as_array().begin(), type->as_array().end(), add);
    return out;
  }
  if (const Json* values = member(&schema, "enum"); values != nullptr && values->is_array()) {
    for (const Json& value : values->as_array()) out.push_back(value.is_string() ? "string" : "");
    return out;
  }
  for (const char* key : {"anyOf", "oneOf", "allOf"}) {
    const Json* choices = member(&schema, key);
    if (choices == nullptr || !choices->is_array() || depth > 8) continue;
    for (const Json& choice : choices->as_array()) {
      for (std::string& type : declared_types(choice, depth + 1)) out.push_back(std::move(type));
    }
  }
  return out;
}

std::string_view type_of(const Json& value) {
  if (value.is_null()) return "null";
  if (value.is_bool()) return "boolean";
  if (value.is_integer()) return "integer";
  if (value.is_number()) return "number";
  if (value.is_string()) return "string";
  return value.is_array() ? "array" : "object";
}

}  // namespace

Json convert_argument(const std::string& text, const Json* schema) {
  const std::vector<std::string> types =
      schema != nullptr ? declared_types(*schema) : std::vector<std::string>{};
  const auto allows = [&](std::string_view type) {
    return std::find(types.begin(), types.end(), type) != types.end();
  };
  if (allows("string") &&
      std::all_of(types.begin(), types.end(), [](const auto& type) { return type == "string"; })) {
    return text;
  }
  // Older models of the family write scalars as Python does.
  if (allows("boolean") && (text == "True" || text == "False")) return text == "True";
  if (allows("null") && text == "None") return nullptr;
  auto parsed = base::try_parse_json(text);
  if (!parsed) return text;
  // Where a string would do as well, only a value of another declared type is taken for one.
  const std::string_view type = type_of(*parsed);
  const bool fits = type != "string" && (allows(type) || (type == "integer" && allows("number")));
  if (allows("string") && !fits) return text;
  return std::move(*parsed);
}

void ReplyParser::add_argument(const std::string& name, const std::string& text) {
  Json converted = convert_argument(text, parameter_schema(tools_, call_.name, name));
  emit_call(Kind::tool_call_argument, name, converted);
  call_.arguments.set(name, std::move(converted));
}

bool prompt_opens_thinking(std::string_view prompt) {
  const size_t open = prompt.rfind(kThink);
  return open != std::string_view::npos &&
         skip(prompt, open + kThink.size(), kBlanks) == prompt.size();
}

}  // namespace karat::text
