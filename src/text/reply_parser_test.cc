#include "text/reply_parser.h"

#include <gtest/gtest.h>

#include <regex>

#include "base/rng.h"

namespace karat::text {
namespace {

using base::Json;
using Kind = ReplyEvent::Kind;

Json weather_tools() {
  return base::parse_json(R"([
    {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object",
      "properties": {"city": {"type": "string"}, "days": {"type": "integer"},
        "detail": {"type": "boolean"}, "opts": {"type": "object"}, "scale": {"type": "number"},
        "maybe": {"type": ["string", "null"]}, "either": {"anyOf": [{"type": "string"},
        {"type": "integer"}]}, "unit": {"enum": ["metric", "imperial"]}, "free": {}}}}},
    {"name": "now"}])");
}

// All deltas of one kind joined, calls written as "name(arguments)", and the order of events with
// repetitions of deltas dropped.
struct Collected {
  std::string reasoning, content, calls, order;
  friend bool operator==(const Collected&, const Collected&) = default;
};

void collect(const std::vector<ReplyEvent>& events, Collected& out) {
  for (const ReplyEvent& event : events) {
    char mark = '?';
    switch (event.kind) {
      case Kind::reasoning:
        mark = 'r';
        break;
      case Kind::content:
        mark = 'c';
        break;
      case Kind::tool_call_start:
        mark = 's';
        break;
      case Kind::tool_call_argument:
        mark = 'a';
        break;
      case Kind::tool_call_complete:
        mark = 'e';
        break;
      case Kind::tool_call_cancel:
        mark = 'x';
        break;
    }
    const bool delta = mark == 'r' || mark == 'c';
    if (!delta || out.order.empty() || out.order.back() != mark) out.order += mark;
    if (mark == 'r') out.reasoning += event.text;
    if (mark == 'c') out.content += event.text;
    if (mark == 'e') {
      out.calls += std::to_string(event.call) + ":" + event.text + event.value.dump() + ";";
    }
    EXPECT_TRUE(!delta || !event.text.empty());
  }
}

Collected parse(std::string_view text, bool in_thinking, const std::vector<size_t>& cuts = {}) {
  ReplyParser parser(in_thinking, weather_tools());
  Collected out;
  size_t begin = 0;
  for (const size_t cut : cuts) {
    collect(parser.feed(text.substr(begin, cut - begin)), out);
    begin = cut;
  }
  collect(parser.feed(text.substr(begin)), out);
  collect(parser.finish(), out);
  EXPECT_EQ(parser.reply().reasoning, out.reasoning);
  EXPECT_EQ(parser.reply().content, out.content);
  std::string calls;
  for (size_t i = 0; i < parser.reply().tool_calls.size(); ++i) {
    const ToolCall& call = parser.reply().tool_calls[i];
    calls += std::to_string(i) + ":" + call.name + call.arguments.dump() + ";";
  }
  EXPECT_EQ(calls, out.calls);
  return out;
}

const char* const kCallText =
    "<tool_call>\n<function=get_weather>\n<parameter=city>\nRome\n</parameter>\n"
    "<parameter=days>\n3\n</parameter>\n</function>\n</tool_call>";

TEST(ReplyParser, ReasoningThenContent) {
  const Collected out = parse("I think.\n</think>\n\nHello\nyou.\n", true);
  EXPECT_EQ(out, (Collected{"I think.", "Hello\nyou.\n", "", "rc"}));
  EXPECT_EQ(parse("</think>\n\nHi", true), (Collected{"", "Hi", "", "c"}));
  EXPECT_EQ(parse("no end\n", true), (Collected{"no end\n", "", "", "r"}));
  EXPECT_EQ(parse("plain </think> text", false), (Collected{"", "plain </think> text", "", "c"}));
  EXPECT_EQ(parse("", true), (Collected{}));
}

TEST(ReplyParser, ModelWritesTheThinkTagItself) {
  EXPECT_EQ(parse("<think>\nhm\n</think>\n\nHi", false), (Collected{"hm", "Hi", "", "rc"}));
  EXPECT_EQ(parse("\n<think>\nhm\n</think>\nHi", true), (Collected{"hm", "Hi", "", "rc"}));
  EXPECT_EQ(parse("a <think>b</think>", false), (Collected{"", "a <think>b</think>", "", "c"}));
  EXPECT_EQ(parse(" <thin", false), (Collected{"", " <thin", "", "c"}));
  EXPECT_EQ(parse(" <thinner", true), (Collected{" <thinner", "", "", "r"}));
}

TEST(ReplyParser, ToolCalls) {
  const std::string call = kCallText;
  EXPECT_EQ(
      parse("Let me look.\n\n" + call, false),
      (Collected{"", "Let me look.", "0:get_weather{\"city\": \"Rome\", \"days\": 3};", "csaae"}));
  EXPECT_EQ(parse("r\n</think>\n\n" + call + "\n" + call + "\n\nbye", true),
            (Collected{"r", "bye",
                       "0:get_weather{\"city\": \"Rome\", \"days\": 3};"
                       "1:get_weather{\"city\": \"Rome\", \"days\": 3};",
                       "rsaaesaaec"}));
  EXPECT_EQ(parse("<tool_call>\n<function=now>\n</function>\n</tool_call>", false),
            (Collected{"", "", "0:now{};", "se"}));
  EXPECT_EQ(parse("<tool_call><function=now></function></tool_call>x", false),
            (Collected{"", "x", "0:now{};", "sec"}));
}

TEST(ReplyParser, JsonToolCalls) {
  EXPECT_EQ(parse("<tool_call>{\"name\": \"now\", \"arguments\": {\"a\": \"}</tool_call>\\\"\", "
                  "\"b\": [1]}}</tool_call>\nx",
                  false),
            (Collected{"", "x", "0:now{\"a\": \"}</tool_call>\\\"\", \"b\": [1]};", "saaec"}));
  EXPECT_EQ(parse("<tool_call>\n{\"name\": \"now\", \"arguments\": \"{}\"}\n</tool_call>", false),
            (Collected{"", "", "0:now{};", "se"}));
  const std::string wrong = "<tool_call>{\"name\": 5, \"arguments\": {}}</tool_call>";
  EXPECT_EQ(parse(wrong, false), (Collected{"", wrong, "", "c"}));
}

TEST(ReplyParser, ValuesKeepWhatTheyContain) {
  const auto value_of = [](const std::string& written, const char* parameter) {
    const Collected out =
        parse("<tool_call>\n<function=get_weather>\n<parameter=" + std::string(parameter) + ">" +
                  written + "</parameter>\n</function>\n</tool_call>",
              false);
    EXPECT_EQ(out.content, "");
    return out.calls;
  };
  EXPECT_EQ(value_of("\n\n a < b \n\n", "city"), "0:get_weather{\"city\": \"\\n a < b \\n\"};");
  EXPECT_EQ(value_of("", "city"), "0:get_weather{\"city\": \"\"};");
  EXPECT_EQ(value_of("\n", "city"), "0:get_weather{\"city\": \"\"};");
  EXPECT_EQ(value_of("\n5\n", "city"), "0:get_weather{\"city\": \"5\"};");
  EXPECT_EQ(value_of("\n<b></parameter> </b>\n", "city"),
            "0:get_weather{\"city\": \"<b></parameter> </b>\"};");
  EXPECT_EQ(value_of("\n<tool_call></think></function></tool_call>\n", "city"),
            "0:get_weather{\"city\": \"<tool_call></think></function></tool_call>\"};");
}

TEST(ReplyParser, ArgumentsFollowTheSchema) {
  const Json tools = weather_tools();
  const Json& properties = tools.as_array()[0].at("function").at("parameters").at("properties");
  const auto converted = [&](const char* text, const char* name) {
    return convert_argument(text, properties.find(name)).dump();
  };
  EXPECT_EQ(converted("5", "city"), "\"5\"");
  EXPECT_EQ(converted("5", "days"), "5");
  EXPECT_EQ(converted("five", "days"), "\"five\"");
  EXPECT_EQ(converted("true", "detail"), "true");
  EXPECT_EQ(converted("True", "detail"), "true");
  EXPECT_EQ(converted("{\"a\": [1, null]}", "opts"), "{\"a\": [1, null]}");
  EXPECT_EQ(converted("{a}", "opts"), "\"{a}\"");
  EXPECT_EQ(converted("1.5", "scale"), "1.5");
  EXPECT_EQ(converted("null", "maybe"), "null");
  EXPECT_EQ(converted("None", "maybe"), "null");
  EXPECT_EQ(converted("7", "maybe"), "\"7\"");
  EXPECT_EQ(converted("7", "either"), "7");
  EXPECT_EQ(converted("[7]", "either"), "\"[7]\"");
  EXPECT_EQ(converted("metric", "unit"), "\"metric\"");
  EXPECT_EQ(converted("5", "unit"), "\"5\"");
  EXPECT_EQ(converted("5", "free"), "5");
  EXPECT_EQ(converted("x y", "unknown"), "\"x y\"");
  EXPECT_EQ(converted("\"x\"", "unknown"), "\"x\"");
}

// Whatever does not become a call is content, byte for byte.
TEST(ReplyParser, MalformedCallsAreContent) {
  const std::string call = kCallText;
  for (const std::string& text : {
           std::string("x\n\n<tool_call>\nno function\n</tool_call>\n"),
           std::string("<tool_call>"),
           std::string("a\n\n<tool_call>\n<function=get_weather>\n<parameter=city>\nRo"),
           std::string("<tool_call>\n<function=>\n</function>\n</tool_call>"),
           std::string("<tool_call>\n<function=a\nb>\n</function>\n</tool_call>"),
           std::string("<tool_call>\n<function=now>\ntext\n</function>\n</tool_call>"),
           std::string("<tool_call>\n<function=now>\n</function>\nmore</tool_call>"),
           std::string("<tool_call>{\"name\": \"x\"}</tool_call>"),
           std::string("<tool_call>{bad}</tool_call> and {\"more\"}"),
           std::string("<tool_call><tool_call><tool_call>"),
           "<tool_call><function=" + std::string(1000, 'n') + "></function></tool_call>",
           call.substr(0, call.size() - 1),
       }) {
    const Collected out = parse(text, false);
    EXPECT_EQ(out.content, text);
    EXPECT_EQ(out.calls, "") << text;
  }
  // The text after a malformed call is read as usual.
  EXPECT_EQ(parse("<tool_call>no " + call, false).calls,
            "0:get_weather{\"city\": \"Rome\", \"days\": 3};");
  EXPECT_EQ(parse("<tool_call>\n<function=now>\ntext " + call, false).order, "sxcsaae");
}

TEST(ReplyParser, HoldsBackOnlyWhatMayBeATag) {
  ReplyParser parser(false);
  const auto text_of = [&](std::string_view piece) {
    std::string out;
    for (const ReplyEvent& event : parser.feed(piece)) out += event.text;
    return out;
  };
  EXPECT_EQ(text_of("Hello"), "Hello");
  EXPECT_EQ(text_of(" you\n"), " you");
  EXPECT_EQ(text_of("<"), "");
  EXPECT_EQ(text_of("b> <tool"), "\n<b> ");
  EXPECT_EQ(text_of("box"), "<toolbox");
}

// Pieces of tags and near-tags, put together at random.
std::string random_reply(base::Rng& rng) {
  static const char* const parts[] = {"<think>",
                                      "</think>",
                                      "<tool_call>",
                                      "</tool_call>",
                                      "<function=",
                                      "get_weather",
                                      ">",
                                      "</function>",
                                      "<parameter=",
                                      "city",
                                      "days",
                                      "</parameter>",
                                      "\n",
                                      "\n\n",
                                      " ",
                                      "x",
                                      "12",
                                      "{\"name\": \"now\", \"arguments\": {\"a\": 1}}",
                                      "{",
                                      "}",
                                      "\"",
                                      "\\",
                                      "<",
                                      "</",
                                      "é",
                                      "<tool_call>\n<function=now>\n<parameter=a>\n",
                                      "\n</parameter>\n</function>\n</tool_call>",
                                      kCallText};
  std::string out;
  const size_t count = rng.below(14);
  for (size_t i = 0; i < count; ++i) out += parts[rng.below(std::size(parts))];
  return out;
}

// Without calls a reply is reasoning and content, with nothing between them but think tags, the
// blanks before the opening one, and line breaks.
void expect_nothing_lost(const std::string& text, const Collected& parsed) {
  ASSERT_LE(parsed.reasoning.size() + parsed.content.size(), text.size());
  const size_t content = text.size() - parsed.content.size();
  EXPECT_EQ(text.substr(content), parsed.content) << text;
  const std::string rest = text.substr(0, content);
  std::smatch opening;
  static const std::regex opens("^[ \\n]*<think>\\n*");
  const size_t begin = std::regex_search(rest, opening, opens) ? opening[0].str().size() : 0;
  ASSERT_EQ(rest.substr(begin, parsed.reasoning.size()), parsed.reasoning) << text;
  static const std::regex closes("(\\n*</think>\\n*)?");
  EXPECT_TRUE(std::regex_match(rest.substr(begin + parsed.reasoning.size()), closes)) << text;
}

TEST(ReplyParser, AnySplitGivesTheSame) {
  base::Rng rng(7);
  size_t calls = 0, cancels = 0;
  for (int round = 0; round < 4000; ++round) {
    const std::string text = random_reply(rng);
    const bool in_thinking = round % 4 == 0;
    const Collected whole = parse(text, in_thinking);
    calls += whole.calls.empty() ? 0 : 1;
    cancels += whole.order.find('x') == std::string::npos ? 0 : 1;
    std::vector<size_t> every, some;
    for (size_t i = 1; i < text.size(); ++i) {
      every.push_back(i);
      if (rng.below(4) == 0) some.push_back(i);
    }
    EXPECT_EQ(parse(text, in_thinking, every), whole) << text;
    EXPECT_EQ(parse(text, in_thinking, some), whole) << text;
    if (whole.calls.empty()) expect_nothing_lost(text, whole);
  }
  EXPECT_GT(calls, 300u);
  EXPECT_GT(cancels, 100u);
}

// Time grows with the length of the text only.
TEST(ReplyParser, LongRepliesAreLinear) {
  std::string text;
  for (int i = 0; i < 50000; ++i) text += "<tool_call>{\"<tool_call><function=a><parameter=b>";
  ReplyParser parser(false);
  parser.feed(text);
  parser.finish();
  EXPECT_EQ(parser.reply().content, text);
  std::string value = "<tool_call><function=a><parameter=b>";
  ReplyParser slow(false);
  slow.feed(value);
  for (int i = 0; i < 100000; ++i) slow.feed("</parameter> x");
  slow.finish();
  EXPECT_EQ(slow.reply().content.size(), value.size() + 100000 * 14);
}

TEST(ReplyParser, PromptSaysWhetherThinkingIsOpen) {
  EXPECT_TRUE(prompt_opens_thinking("<|im_start|>assistant\n<think>\n"));
  EXPECT_FALSE(prompt_opens_thinking("<|im_start|>assistant\n<think>\n\n</think>\n\n"));
  EXPECT_FALSE(prompt_opens_thinking("<|im_start|>assistant\n"));
  EXPECT_FALSE(prompt_opens_thinking(""));
}

}  // namespace
}  // namespace karat::text
