#include "text/jinja_lexer.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "text/jinja_expression_parser.h"

namespace karat::text {
namespace {

// Tokens as one line: data in quotes, tags as their brackets.
std::string shown(const std::string& source) {
  std::string out;
  for (const Token& token : tokenize_template(source, "t", 1000)) {
    switch (token.kind) {
      case Token::Kind::data:
        out += "\"" + token.text + "\"";
        break;
      case Token::Kind::variable_begin:
        out += "{{";
        break;
      case Token::Kind::variable_end:
        out += "}}";
        break;
      case Token::Kind::block_begin:
        out += "{%";
        break;
      case Token::Kind::block_end:
        out += "%}";
        break;
      case Token::Kind::string:
        out += "'" + token.text + "'";
        break;
      case Token::Kind::real:
        out += "r" + token.text;
        break;
      case Token::Kind::end:
        break;
      default:
        out += token.text;
    }
    out += ' ';
  }
  return out;
}

TEST(JinjaLexer, Tokens) {
  EXPECT_EQ(shown("a{{ x.y[1] // 2.5 }}b"), "\"a\" {{ x . y [ 1 ] // r2.5 }} \"b\"  ");
  EXPECT_EQ(shown("{{ {'a': {}} }}"), "{{ { 'a' : { } } }}  ");
  EXPECT_EQ(shown("{{ x.0.1 }}{{ 1e3 }}{{ 1_0 }}"), "{{ x . 0 . 1 }} {{ r1e3 }} {{ 10 }}  ");
  EXPECT_EQ(shown("{ { }} %} #} {"), "\"{ { }} %} #} {\"  ");
}

TEST(JinjaLexer, WhiteSpace) {
  EXPECT_EQ(shown("a\n  {% x %}\nb"), "\"a\n\" {% x %} \"b\"  ");
  EXPECT_EQ(shown("a  {% x %} \nb"), "\"a  \" {% x %} \" \nb\"  ");
  EXPECT_EQ(shown("a \n{%- x -%}\n b"), "\"a\" {% x %} \"b\"  ");
  EXPECT_EQ(shown(" {%+ x +%}\nb"), "\" \" {% x %} \"\nb\"  ");
  EXPECT_EQ(shown("  {{ x }}\n"), "\"  \" {{ x }}  ");
  EXPECT_EQ(shown("  {# c #}\r\nb\r\n"), "\"b\"  ");
  EXPECT_EQ(shown("{% raw %} {{ x }} {% endraw %}\ny"), "\" {{ x }} \" \"y\"  ");
}

TEST(JinjaLexer, LinesAreCounted) {
  const auto tokens = tokenize_template("a\n\n{#\n#}{{ 'x\ny' }}{{ z }}", "t", 100);
  EXPECT_EQ(tokens[1].line, 4);                  // the first tag
  EXPECT_EQ(tokens[tokens.size() - 3].line, 5);  // z
}

TEST(JinjaLexer, TooManyTokens) {
  EXPECT_THROW(tokenize_template("{{ 1 }}{{ 2 }}", "t", 6), base::Error);
  EXPECT_EQ(tokenize_template("{{ 1 }}{{ 2 }}", "t", 7).size(), 7u);
}

TEST(JinjaExpressionParser, Precedence) {
  const auto parsed = [](const char* source) {
    TokenStream tokens(tokenize_template(std::string("{{") + source + "}}", "t", 1000), "t", 20);
    tokens.next();
    return ExpressionParser(tokens).tuple();
  };
  using Kind = Expression::Kind;
  EXPECT_EQ(parsed("a + b ~ c")->kind, Kind::binary);
  EXPECT_EQ(parsed("a ~ b * c")->kind, Kind::concat);
  EXPECT_EQ(parsed("not a == b")->kind, Kind::logical_not);
  EXPECT_EQ(parsed("a or b and c")->kind, Kind::logical_or);
  EXPECT_EQ(parsed("-a | f")->kind, Kind::filter);
  EXPECT_EQ(parsed("a is b and c")->kind, Kind::logical_and);
  EXPECT_EQ(parsed("a if b else c, d")->kind, Kind::tuple);
  EXPECT_EQ(parsed("a.b[c](d)")->kind, Kind::call);
  EXPECT_EQ(parsed("a.b.c.d")->height, 4);
}

}  // namespace
}  // namespace karat::text
