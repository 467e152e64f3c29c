#include "text/jinja.h"

#include <gtest/gtest.h>

#include <ctime>
#include <fstream>
#include <sstream>

#include "base/error.h"
#include "text/jinja_builtins.h"
#include "text/jinja_interpreter.h"
#include "text/jinja_operators.h"
#include "text/jinja_parser.h"
#include "text/jinja_print.h"

namespace karat::text {
namespace {

using base::Error;
using base::ErrorKind;
using base::Json;

std::string read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

struct Outcome {
  std::string text;   // of the render
  std::string error;  // empty if none
  ErrorKind kind = ErrorKind::internal;
};

Outcome render(const std::string& source, const Json& variables = Json::object()) {
  std::vector<JinjaTemplate::Variable> given;
  for (const auto& [name, value] : variables.as_object()) given.push_back({name, &value, false});
  try {
    return {JinjaTemplate(source, "t").render(given).text, {}, {}};
  } catch (const Error& error) {
    return {{}, error.what(), error.kind()};
  }
}

// What jinja2 prints, we print; what it refuses, we refuse as bad input.
TEST(Jinja, SnippetsEqualJinja2) {
  const Json goldens =
      base::parse_json(read_file(KARAT_ROOT "/tests/fixtures/goldens/jinja_snippets.json"));
  const Json& variables = goldens.at("variables");
  ASSERT_GT(goldens.at("cases").as_array().size(), 250u);
  for (const Json& item : goldens.at("cases").as_array()) {
    const std::string& source = item.at("template").as_string();
    const Outcome got = render(source, variables);
    if (const Json* text = item.find("text")) {
      EXPECT_EQ(got.error, "") << source;
      EXPECT_EQ(got.text, text->as_string()) << source;
    } else {
      EXPECT_NE(got.error, "") << source << "\nprinted " << got.text << "\nbut jinja2 says "
                               << item.at("error").as_string();
      EXPECT_EQ(got.kind, ErrorKind::bad_input) << source;
    }
  }
}

TEST(Jinja, ErrorsNameLineAndCause) {
  EXPECT_EQ(render("a\n{{ x.y }}").error, "t, line 2: 'x' is undefined");
  EXPECT_EQ(render("a\nb\n{% if %}").error, "t, line 3: unexpected the end of the tag");
  EXPECT_EQ(render("{{ 1 | nope }}").error, "t, line 1: unknown filter 'nope'");
  EXPECT_EQ(render("\n\n{{ {}.a.b }}").error, "t, line 3: 'dict object' has no attribute 'a'");
  EXPECT_EQ(render("{{ raise_exception('No\x1b[2J ' ~ 1) }}").error, "No\\x1b[2J 1");
  EXPECT_EQ(render("{% if true %}\n{{ 'x'").error, "t, line 2: a tag is not closed");
}

TEST(Jinja, OtherTemplatesAreUnsupported) {
  for (const char* source : {"{% include 'x' %}", "{% extends 'x' %}", "{% import 'x' as y %}",
                             "{% from 'x' import y %}", "{% block b %}{% endblock %}",
                             "{% for x in y recursive %}{% endfor %}", "{{ f(*x) }}"}) {
    EXPECT_EQ(render(source).kind, ErrorKind::unsupported) << source;
  }
}

TEST(Jinja, StrftimeNowFormatsTheTime) {
  const std::time_t now = std::time(nullptr);
  const int year = std::localtime(&now)->tm_year + 1900;
  const int printed = std::stoi(render("{{ strftime_now('%Y') }}").text);
  EXPECT_GE(printed, year);
  EXPECT_LE(printed, year + 1);
}

TEST(Jinja, CircumstancesFixTheClockAndNameThePlace) {
  const JinjaCircumstances circumstances = {"c.jsonl:3", 951782400};  // 29 February 2000
  EXPECT_EQ(
      JinjaTemplate("{{ strftime_now('%Y-%m-%d %H:%M') }}", "t").render({}, circumstances).text,
      "2000-02-29 00:00");
  for (const auto& [source, expected] : {std::pair{"{{ raise_exception('No') }}", "c.jsonl:3: No"},
                                         std::pair{"\n{{ x.y }}", "c.jsonl:3: t, line 2: "}}) {
    try {
      JinjaTemplate(source, "t").render({}, circumstances);
      FAIL() << source;
    } catch (const base::Error& error) {
      EXPECT_EQ(std::string(error.what()).substr(0, std::string(expected).size()), expected);
    }
  }
}

// Text from marked variables stays marked through what templates do with it; ours never is.
TEST(Jinja, MarksTextFromInput) {
  const Json content = "<|a|> x <|b|>", ours = "<s>";
  const auto marked = [&](const char* source) {
    const MarkedText out =
        JinjaTemplate(source, "t").render({{"c", &content, true}, {"bos", &ours, false}});
    std::string shown = out.text;  // marked ranges in brackets
    for (auto range = out.input.rbegin(); range != out.input.rend(); ++range) {
      shown.insert(range->end, "]").insert(range->begin, "[");
    }
    return shown;
  };
  EXPECT_EQ(marked("{{ bos }}{{ c }}"), "<s>[<|a|> x <|b|>]");
  EXPECT_EQ(marked("{{ '<u>' + c | trim + '</u>' }}"), "<u>[<|a|> x <|b|>]</u>");
  EXPECT_EQ(marked("{{ c.split(' x ')[1] ~ '!' }}"), "[<|b|>]!");
  EXPECT_EQ(marked("{{ c | replace(' x ', '<t>') }}"), "[<|a|>]<t>[<|b|>]");
  EXPECT_EQ(marked("{% set y %}A{{ c[:5] }}B{% endset %}{{ y }}"), "A[<|a|>]B");
  EXPECT_EQ(marked("{{ c | upper }}{{ [c[0]] | join('-') }}"), "[<|A|> X <|B|><]");
  EXPECT_EQ(marked("{{ {'k': c[:2]} | tojson }}"), "{\"k\": [\"<|\"]}");
  EXPECT_EQ(marked("{{ [c[:2], 1] }}"), "[['<|'], 1]");
  EXPECT_EQ(marked("{% macro m(x) %}({{ x }}){% endmacro %}{{ m(c[-1]) }}"), "([>])");
  EXPECT_EQ(marked("{% for x in c[:2] %}{{ x }}.{% endfor %}"), "[<].[|].");
}

// The limits leave room for long conversations.
TEST(Jinja, LargeInputRenders) {
  Json messages = Json::array();
  for (int i = 0; i < 3000; ++i) {
    Json message = Json::object();
    message.set("role", i % 2 == 0 ? "user" : "assistant");
    message.set("content", std::string(1000, 'x') + " ");
    messages.push(std::move(message));
  }
  const char* source =
      "{% for m in messages[::-1] %}{% set c = m.content | trim %}"
      "{% if c.startswith('<') and c.endswith('>') %}!{% endif %}{% endfor %}"
      "{% for m in messages %}{% set c = m.content | trim %}"
      "{{ '<|im_start|>' + m.role + '\\n' + c + '<|im_end|>' + '\\n' }}{% endfor %}";
  const MarkedText out = JinjaTemplate(source, "t").render({{"messages", &messages, true}});
  EXPECT_GT(out.text.size(), 3000u * 1000u);
  EXPECT_EQ(out.input.size(), 6000u);
}

}  // namespace
}  // namespace karat::text
