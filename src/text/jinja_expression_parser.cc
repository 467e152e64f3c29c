#include "text/jinja_expression_parser.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

#include "base/error.h"
#include "base/text.h"

namespace karat::text {

using base::ErrorKind;
using base::printable;

Token TokenStream::next() {
  if (current().kind == Token::Kind::end) return current();
  return std::move(tokens_[at_++]);
}

bool TokenStream::skip_symbol(std::string_view symbol) {
  if (!at_symbol(symbol)) return false;
  next();
  return true;
}

bool TokenStream::skip_name(std::string_view name) {
  if (!at_name(name)) return false;
  next();
  return true;
}

void TokenStream::expect_symbol(std::string_view symbol) {
  if (!skip_symbol(symbol)) fail("expected '" + std::string(symbol) + "', got " + describe());
}

void TokenStream::expect_name(std::string_view name) {
  if (!skip_name(name)) fail("expected '" + std::string(name) + "', got " + describe());
}

std::string TokenStream::expect_any_name() {
  if (current().kind != Token::Kind::name) fail("expected a name, got " + describe());
  return next().text;
}

void TokenStream::expect(Token::Kind kind) {
  if (current().kind != kind) fail("expected the end of the tag, got " + describe());
  next();
}

void TokenStream::fail(const std::string& message) const {
  throw base::fail(ErrorKind::bad_input, "%s, line %d: %s", name_.c_str(), line(), message.c_str());
}

void TokenStream::fail_unsupported(const std::string& what) const {
  throw base::fail(ErrorKind::unsupported, "%s, line %d: %s is not supported in chat templates",
                   name_.c_str(), line(), what.c_str());
}

std::string TokenStream::describe() const {
  switch (current().kind) {
    case Token::Kind::data:
      return "text";
    case Token::Kind::variable_begin:
    case Token::Kind::block_begin:
      return "a new tag";
    case Token::Kind::variable_end:
    case Token::Kind::block_end:
      return "the end of the tag";
    case Token::Kind::end:
      return "the end of the template";
    default:
      return "'" + printable(current().text, 60) + "'";
  }
}

Nesting::Nesting(TokenStream& tokens) : tokens_(tokens) {
  if (tokens_.nesting >= tokens_.nesting_max()) {
    tokens_.fail(base::strf("nested deeper than %d levels", tokens_.nesting_max()));
  }
  ++tokens_.nesting;
}

std::unique_ptr<Expression> ExpressionParser::make(Kind kind) const {
  auto out = std::make_unique<Expression>();
  out->kind = kind;
  out->line = tokens_.line();
  return out;
}

void ExpressionParser::adopt(Expression& parent, ExpressionPtr child) const {
  if (child != nullptr) {
    parent.height = std::max(parent.height, child->height + 1);
    // Chains such as a.b.c are built without recursion but walked with it.
    if (parent.height > 2 * tokens_.nesting_max()) {
      tokens_.fail(base::strf("an expression deeper than %d levels", 2 * tokens_.nesting_max()));
    }
  }
  parent.children.push_back(std::move(child));
}

ExpressionPtr ExpressionParser::expression(bool conditional) {
  const Nesting nesting(tokens_);
  ExpressionPtr value = logical_or();
  while (conditional && tokens_.at_name("if")) {
    auto out = make(Kind::conditional);
    tokens_.next();
    adopt(*out, logical_or());
    adopt(*out, std::move(value));
    adopt(*out, tokens_.skip_name("else") ? expression() : nullptr);
    value = std::move(out);
  }
  return value;
}

ExpressionPtr ExpressionParser::tuple(bool conditional) {
  ExpressionPtr first = expression(conditional);
  if (!tokens_.at_symbol(",")) return first;
  auto out = make(Kind::tuple);
  adopt(*out, std::move(first));
  while (tokens_.skip_symbol(",")) {
    const Token::Kind kind = tokens_.current().kind;
    if (kind == Token::Kind::variable_end || kind == Token::Kind::block_end ||
        tokens_.at_symbol(")")) {
      break;
    }
    adopt(*out, expression(conditional));
  }
  return out;
}

ExpressionPtr ExpressionParser::target(bool attributes) {
  const auto one = [&] {
    static constexpr std::array<std::string_view, 6> kReserved = {"true", "false", "none",
                                                                  "True", "False", "None"};
    const bool wrapped = tokens_.skip_symbol("(");
    auto out = make(Kind::name);
    if (wrapped) {
      const Nesting nesting(tokens_);
      ExpressionPtr inner = target(false);
      tokens_.expect_symbol(")");
      return inner;
    }
    out->name = tokens_.expect_any_name();
    if (std::find(kReserved.begin(), kReserved.end(), out->name) != kReserved.end()) {
      tokens_.fail("cannot assign to '" + out->name + "'");
    }
    return ExpressionPtr(std::move(out));
  };
  ExpressionPtr first = one();
  if (attributes && tokens_.at_symbol(".")) {
    auto out = make(Kind::attribute);
    tokens_.next();
    adopt(*out, std::move(first));
    out->name = tokens_.expect_any_name();
    return out;
  }
  if (!tokens_.at_symbol(",")) return first;
  auto out = make(Kind::tuple);
  adopt(*out, std::move(first));
  while (tokens_.skip_symbol(",")) {
    if (tokens_.current().kind != Token::Kind::name && !tokens_.at_symbol("(")) break;
    if (tokens_.at_name("in")) break;
    adopt(*out, one());
  }
  return out;
}

ExpressionPtr ExpressionParser::logical_or() {
  ExpressionPtr first = logical_and();
  if (!tokens_.at_name("or")) return first;
  auto out = make(Kind::logical_or);
  adopt(*out, std::move(first));
  while (tokens_.skip_name("or")) adopt(*out, logical_and());
  return out;
}

ExpressionPtr ExpressionParser::logical_and() {
  ExpressionPtr first = logical_not();
  if (!tokens_.at_name("and")) return first;
  auto out = make(Kind::logical_and);
  adopt(*out, std::move(first));
  while (tokens_.skip_name("and")) adopt(*out, logical_not());
  return out;
}

ExpressionPtr ExpressionParser::logical_not() {
  if (!tokens_.at_name("not")) return comparison();
  const Nesting nesting(tokens_);
  auto out = make(Kind::logical_not);
  tokens_.next();
  adopt(*out, logical_not());
  return out;
}

namespace {

// The comparison at the current token, consumed, or nothing.
std::optional<Comparison> skip_comparison(TokenStream& tokens) {
  static constexpr std::array<std::pair<std::string_view, Comparison>, 6> kSymbols = {{
      {"==", Comparison::equal},
      {"!=", Comparison::not_equal},
      {"<", Comparison::less},
      {"<=", Comparison::less_equal},
      {">", Comparison::greater},
      {">=", Comparison::greater_equal},
  }};
  for (const auto& [symbol, comparison] : kSymbols) {
    if (tokens.skip_symbol(symbol)) return comparison;
  }
  if (tokens.skip_name("in")) return Comparison::in;
  if (tokens.at_name("not") && tokens.ahead().kind == Token::Kind::name &&
      tokens.ahead().text == "in") {
    tokens.next();
    tokens.next();
    return Comparison::not_in;
  }
  return std::nullopt;
}

}  // namespace

ExpressionPtr ExpressionParser::comparison() {
  ExpressionPtr first = sum();
  auto out = make(Kind::compare);
  while (const auto found = skip_comparison(tokens_)) {
    if (first != nullptr) adopt(*out, std::move(first));
    out->comparisons.push_back(*found);
    adopt(*out, sum());
  }
  if (first != nullptr) return first;
  return out;
}

ExpressionPtr ExpressionParser::sum() {
  ExpressionPtr left = concat();
  while (tokens_.at_symbol("+") || tokens_.at_symbol("-")) {
    auto out = make(Kind::binary);
    out->op = tokens_.next().text == "+" ? BinaryOperator::add : BinaryOperator::subtract;
    adopt(*out, std::move(left));
    adopt(*out, concat());
    left = std::move(out);
  }
  return left;
}

ExpressionPtr ExpressionParser::concat() {
  ExpressionPtr first = product();
  if (!tokens_.at_symbol("~")) return first;
  auto out = make(Kind::concat);
  adopt(*out, std::move(first));
  while (tokens_.skip_symbol("~")) adopt(*out, product());
  return out;
}

ExpressionPtr ExpressionParser::product() {
  ExpressionPtr left = power();
  for (;;) {
    auto out = make(Kind::binary);
    if (tokens_.skip_symbol("*")) {
      out->op = BinaryOperator::multiply;
    } else if (tokens_.skip_symbol("/")) {
      out->op = BinaryOperator::divide;
    } else if (tokens_.skip_symbol("//")) {
      out->op = BinaryOperator::floor_divide;
    } else if (tokens_.skip_symbol("%")) {
      out->op = BinaryOperator::modulo;
    } else {
      return left;
    }
    adopt(*out, std::move(left));
    adopt(*out, power());
    left = std::move(out);
  }
}

ExpressionPtr ExpressionParser::power() {
  ExpressionPtr left = unary(true);
  while (tokens_.at_symbol("**")) {
    auto out = make(Kind::binary);
    tokens_.next();
    out->op = BinaryOperator::power;
    adopt(*out, std::move(left));
    adopt(*out, unary(true));
    left = std::move(out);
  }
  return left;
}

ExpressionPtr ExpressionParser::unary(bool with_filters) {
  ExpressionPtr value;
  if (tokens_.at_symbol("-") || tokens_.at_symbol("+")) {
    const Nesting nesting(tokens_);
    auto out = make(tokens_.at_symbol("-") ? Kind::negate : Kind::positive);
    tokens_.next();
    adopt(*out, unary(false));
    value = std::move(out);
  } else {
    value = primary();
  }
  value = postfix(std::move(value));
  return with_filters ? filters_and_tests(std::move(value)) : std::move(value);
}

ExpressionPtr ExpressionParser::primary() {
  switch (tokens_.current().kind) {
    case Token::Kind::name: {
      auto out = make(Kind::constant);
      const Token token = tokens_.next();
      const std::string_view name = token.text;
      if (name == "true" || name == "True") {
        out->constant = Value::boolean(true);
      } else if (name == "false" || name == "False") {
        out->constant = Value::boolean(false);
      } else if (name == "none" || name == "None") {
        out->constant = Value::none();
      } else {
        out->kind = Kind::name;
        out->name = name;
      }
      return out;
    }
    case Token::Kind::string:
      return string();
    case Token::Kind::integer:
    case Token::Kind::real:
      return number();
    default:
      break;
  }
  if (tokens_.at_symbol("(")) return parenthesized();
  if (tokens_.at_symbol("[")) return list();
  if (tokens_.at_symbol("{")) return dict();
  tokens_.fail("unexpected " + tokens_.describe());
}

ExpressionPtr ExpressionParser::string() {
  auto out = make(Kind::constant);
  std::string text;
  while (tokens_.current().kind == Token::Kind::string) text += tokens_.next().text;
  out->constant = Value(Value::Variant(
      std::make_shared<const StringObject>(StringObject{MarkedText(std::move(text)), Charge()})));
  return out;
}

ExpressionPtr ExpressionParser::number() {
  auto out = make(Kind::constant);
  const Token token = tokens_.next();
  const char* end = token.text.data() + token.text.size();
  if (token.kind == Token::Kind::real) {
    double value = 0;
    std::from_chars(token.text.data(), end, value);
    out->constant = Value::real(value);
    return out;
  }
  uint64_t value = 0;
  if (std::from_chars(token.text.data(), end, value).ec != std::errc()) {
    tokens_.fail("integer larger than 64 bits");
  }
  out->constant = Value::integer(Integer{value});
  return out;
}

ExpressionPtr ExpressionParser::parenthesized() {
  auto empty = make(Kind::tuple);
  tokens_.next();
  if (tokens_.skip_symbol(")")) return empty;
  ExpressionPtr inner = tuple();
  tokens_.expect_symbol(")");
  return inner;
}

ExpressionPtr ExpressionParser::list() {
  auto out = make(Kind::list);
  tokens_.next();
  while (!tokens_.at_symbol("]")) {
    if (!out->children.empty()) tokens_.expect_symbol(",");
    if (tokens_.at_symbol("]")) break;
    adopt(*out, expression());
  }
  tokens_.expect_symbol("]");
  return out;
}

ExpressionPtr ExpressionParser::dict() {
  auto out = make(Kind::dict);
  tokens_.next();
  while (!tokens_.at_symbol("}")) {
    if (!out->children.empty()) tokens_.expect_symbol(",");
    if (tokens_.at_symbol("}")) break;
    adopt(*out, expression());
    tokens_.expect_symbol(":");
    adopt(*out, expression());
  }
  tokens_.expect_symbol("}");
  return out;
}

ExpressionPtr ExpressionParser::postfix(ExpressionPtr value) {
  for (;;) {
    if (tokens_.at_symbol(".") || tokens_.at_symbol("[")) {
      value = subscript(std::move(value));
    } else if (tokens_.at_symbol("(")) {
      value = call(std::move(value));
    } else {
      return value;
    }
  }
}

ExpressionPtr ExpressionParser::filters_and_tests(ExpressionPtr value) {
  for (;;) {
    if (tokens_.at_symbol("|")) {
      tokens_.next();
      value = filter(std::move(value));
    } else if (tokens_.at_name("is")) {
      value = test(std::move(value));
    } else if (tokens_.at_symbol("(")) {
      value = call(std::move(value));
    } else {
      return value;
    }
  }
}

ExpressionPtr ExpressionParser::subscript(ExpressionPtr value) {
  if (tokens_.at_symbol("[")) return bracket(std::move(value));
  tokens_.next();
  if (tokens_.current().kind == Token::Kind::integer) {
    auto out = make(Kind::item);
    adopt(*out, std::move(value));
    adopt(*out, number());
    return out;
  }
  auto out = make(Kind::attribute);
  adopt(*out, std::move(value));
  out->name = tokens_.expect_any_name();
  return out;
}

ExpressionPtr ExpressionParser::bracket(ExpressionPtr value) {
  auto out = make(Kind::item);
  tokens_.next();
  adopt(*out, std::move(value));
  const auto bound = [&]() -> ExpressionPtr {
    const bool absent = tokens_.at_symbol(":") || tokens_.at_symbol("]");
    return absent ? nullptr : expression();
  };
  ExpressionPtr first = bound();
  if (first == nullptr && tokens_.at_symbol("]")) tokens_.fail("an empty subscript");
  adopt(*out, std::move(first));
  if (tokens_.skip_symbol(":")) {
    out->kind = Kind::slice;
    adopt(*out, bound());
    adopt(*out, tokens_.skip_symbol(":") ? bound() : nullptr);
  }
  tokens_.expect_symbol("]");
  return out;
}

std::string ExpressionParser::dotted_name() {
  std::string name = tokens_.expect_any_name();
  while (tokens_.skip_symbol(".")) name += "." + tokens_.expect_any_name();
  return name;
}

ExpressionPtr ExpressionParser::filter(ExpressionPtr value) {
  auto out = make(Kind::filter);
  out->name = dotted_name();
  adopt(*out, std::move(value));
  if (tokens_.at_symbol("(")) arguments(*out);
  return out;
}

ExpressionPtr ExpressionParser::filter_chain(bool first_named) {
  ExpressionPtr value;
  if (first_named) value = filter(nullptr);
  while (tokens_.skip_symbol("|")) value = filter(std::move(value));
  return value;
}

ExpressionPtr ExpressionParser::test(ExpressionPtr value) {
  auto out = make(Kind::test);
  tokens_.next();
  out->negated = tokens_.skip_name("not");
  out->name = dotted_name();
  adopt(*out, std::move(value));
  const Token& token = tokens_.current();
  if (tokens_.at_symbol("(")) {
    arguments(*out);
  } else if (token.kind == Token::Kind::string || token.kind == Token::Kind::integer ||
             token.kind == Token::Kind::real || tokens_.at_symbol("[") || tokens_.at_symbol("{") ||
             (token.kind == Token::Kind::name && !tokens_.at_name("else") &&
              !tokens_.at_name("or") && !tokens_.at_name("and"))) {
    if (tokens_.at_name("is")) tokens_.fail("tests cannot be chained with 'is'");
    const Nesting nesting(tokens_);
    adopt(*out, postfix(primary()));
  }
  return out;
}

ExpressionPtr ExpressionParser::call(ExpressionPtr callee) {
  auto out = make(Kind::call);
  adopt(*out, std::move(callee));
  arguments(*out);
  return out;
}

void ExpressionParser::arguments(Expression& call) {
  tokens_.expect_symbol("(");
  bool first = true;
  while (!tokens_.at_symbol(")")) {
    if (!first) tokens_.expect_symbol(",");
    first = false;
    if (tokens_.at_symbol(")")) break;
    if (tokens_.at_symbol("*") || tokens_.at_symbol("**")) {
      tokens_.fail_unsupported("a call with * or **");
    }
    const bool named = tokens_.current().kind == Token::Kind::name &&
                       tokens_.ahead().kind == Token::Kind::symbol && tokens_.ahead().text == "=";
    if (!named) {
      if (!call.named.empty()) tokens_.fail("a positional argument after a named one");
      adopt(call, expression());
      continue;
    }
    std::string name = tokens_.next().text;
    tokens_.next();
    ExpressionPtr value = expression();
    call.height = std::max(call.height, value->height + 1);
    call.named.emplace_back(std::move(name), std::move(value));
  }
  tokens_.expect_symbol(")");
}

}  // namespace karat::text
