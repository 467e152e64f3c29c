// Input: a byte of switches, a byte that decides the cuts, then a reply. What is understood of it
// does not depend on how it was cut into pieces.
#include "text/reply_parser.h"

#include "base/json.h"
#include "fuzz/fuzz.h"

namespace {

using karat::base::Json;
using karat::text::Reply;
using karat::text::ReplyEvent;
using karat::text::ReplyParser;

const Json& tools() {
  static const Json declared = karat::base::parse_json(
      R"([{"type": "function", "function": {"name": "f", "parameters": {"type": "object",
        "properties": {"s": {"type": "string"}, "i": {"type": "integer"},
          "b": {"type": "boolean"}, "o": {"type": "object"}, "e": {"enum": ["x", "y"]}}}}}])");
  return declared;
}

// The texts of all events of one kind joined.
struct Deltas {
  std::string reasoning, content;
  void add(const std::vector<ReplyEvent>& events) {
    for (const ReplyEvent& event : events) {
      if (event.kind == ReplyEvent::Kind::reasoning) reasoning += event.text;
      if (event.kind == ReplyEvent::Kind::content) content += event.text;
    }
  }
};

Reply parse(std::string_view text, bool thinking, bool with_tools, size_t step) {
  ReplyParser parser(thinking, with_tools ? tools() : Json());
  Deltas deltas;
  for (size_t at = 0; at < text.size();) {
    const size_t length = step == 0 ? text.size() : 1 + (at * 7 + step) % step;
    deltas.add(parser.feed(text.substr(at, length)));
    at += length;
  }
  deltas.add(parser.finish());
  CHECK(deltas.reasoning == parser.reply().reasoning && deltas.content == parser.reply().content);
  return parser.reply();
}

bool same(const Reply& a, const Reply& b) {
  if (a.reasoning != b.reasoning || a.content != b.content) return false;
  if (a.tool_calls.size() != b.tool_calls.size()) return false;
  for (size_t i = 0; i < a.tool_calls.size(); ++i) {
    const auto &x = a.tool_calls[i], &y = b.tool_calls[i];
    if (x.name != y.name || !(x.arguments.dump() == y.arguments.dump())) return false;
  }
  return true;
}

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const bool thinking = (data[0] & 1) != 0, with_tools = (data[0] & 2) != 0;
  const std::string_view text = karat::fuzz::text_of(data + 2, size - 2);
  const Reply whole = parse(text, thinking, with_tools, 0);
  CHECK(same(whole, parse(text, thinking, with_tools, 1)));
  CHECK(same(whole, parse(text, thinking, with_tools, 1 + data[1])));
  return 0;
}
