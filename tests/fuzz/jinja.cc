// Input: a chat template, then, behind 0x1e, a JSON object of variables (a conversation if there is
// none).
#include "text/jinja.h"

#include "base/json.h"
#include "fuzz/fuzz.h"

namespace {

using karat::base::Json;

// raise_exception(TEXT) ends in exactly that text, which is printed only by those who make it
// printable: other than all messages, it may be anything.
template <class Body>
void accepted_or_raised(Body body) {
  try {
    body();
  } catch (const karat::base::Error& error) {
    if (error.kind() != karat::base::ErrorKind::bad_input &&
        error.kind() != karat::base::ErrorKind::unsupported) {
      throw;
    }
  }
}

const Json& conversation() {
  static const Json variables = karat::base::parse_json(
      R"({"messages": [{"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Hi"}, {"type": "image"}]},
        {"role": "assistant", "content": "<think>\nso\n</think>\n\nYes.", "tool_calls": [
          {"function": {"name": "f", "arguments": {"a": 1, "b": [true, null, 2.5]}}}]},
        {"role": "tool", "content": "\u00e9\ud83d\ude00"}],
      "tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}],
      "add_generation_prompt": true, "enable_thinking": false, "bos_token": "<s>"})");
  return variables;
}

void check_marks(const karat::text::MarkedText& text) {
  size_t end = 0;
  for (const karat::text::TextSpan& span : text.input) {
    CHECK(span.begin >= end && span.begin < span.end && span.end <= text.text.size());
    end = span.end;
  }
}

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  karat::fuzz::Parts parts(data, size);
  const std::string_view source = parts.next();
  const auto given = karat::base::try_parse_json(parts.next());
  const Json& variables = given && given->is_object() ? *given : conversation();
  std::vector<karat::text::JinjaTemplate::Variable> named;
  for (const auto& [name, value] : variables.as_object()) named.push_back({name, &value, true});
  accepted_or_raised([&] {
    const karat::text::JinjaTemplate program(source, "input");
    const karat::text::MarkedText text = program.render(named);
    check_marks(text);
  });
  return 0;
}
