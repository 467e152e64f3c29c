// Jinja expressions: tokens -> Expression, by jinja2's grammar and precedences.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "text/jinja_ast.h"
#include "text/jinja_lexer.h"

namespace karat::text {

// Tokens with a position. Failures are Error{bad_input} "NAME, line N: ...".
class TokenStream {
 public:
  TokenStream(std::vector<Token> tokens, std::string name, int nesting_max)
      : tokens_(std::move(tokens)), name_(std::move(name)), nesting_max_(nesting_max) {}

  const Token& current() const { return tokens_[at_]; }
  const Token& ahead() const { return tokens_[at_ + (at_ + 1 < tokens_.size() ? 1 : 0)]; }
  int line() const { return current().line; }
  bool at_symbol(std::string_view symbol) const {
    return current().kind == Token::Kind::symbol && current().text == symbol;
  }
  bool at_name(std::string_view name) const {
    return current().kind == Token::Kind::name && current().text == name;
  }
  Token next();
  bool skip_symbol(std::string_view symbol);
  bool skip_name(std::string_view name);
  void expect_symbol(std::string_view symbol);
  void expect_name(std::string_view name);
  std::string expect_any_name();
  void expect(Token::Kind kind);

  [[noreturn]] void fail(const std::string& message) const;
  [[noreturn]] void fail_unsupported(const std::string& what) const;
  // "'x'", "end of the tag", ... for messages.
  std::string describe() const;

  // How deep the source may nest, and how deep it does here.
  int nesting_max() const { return nesting_max_; }
  int nesting = 0;

 private:
  std::vector<Token> tokens_;
  size_t at_ = 0;
  std::string name_;
  int nesting_max_;
};

// Counts one level of nesting while it lives.
class Nesting {
 public:
  explicit Nesting(TokenStream& tokens);
  ~Nesting() { --tokens_.nesting; }
  Nesting(const Nesting&) = delete;
  Nesting& operator=(const Nesting&) = delete;

 private:
  TokenStream& tokens_;
};

class ExpressionParser {
 public:
  explicit ExpressionParser(TokenStream& tokens) : tokens_(tokens) {}

  // One expression; without `conditional` the form "a if b" is left for the caller.
  ExpressionPtr expression(bool conditional = true);
  // Expressions separated by commas become a tuple; a single one stays itself.
  ExpressionPtr tuple(bool conditional = true);
  // What a for or set assigns to: names separated by commas, or (`attributes`) namespace.name.
  ExpressionPtr target(bool attributes);
  // "| upper | trim" (or, with `first_named`, "upper | trim"), applied to the text of a block.
  ExpressionPtr filter_chain(bool first_named);

 private:
  using Kind = Expression::Kind;
  std::unique_ptr<Expression> make(Kind kind) const;
  void adopt(Expression& parent, ExpressionPtr child) const;

  ExpressionPtr logical_or();
  ExpressionPtr logical_and();
  ExpressionPtr logical_not();
  ExpressionPtr comparison();
  ExpressionPtr sum();
  ExpressionPtr concat();
  ExpressionPtr product();
  ExpressionPtr power();
  ExpressionPtr unary(bool with_filters);
  ExpressionPtr primary();
  ExpressionPtr parenthesized();
  ExpressionPtr list();
  ExpressionPtr dict();
  ExpressionPtr number();
  ExpressionPtr string();
  ExpressionPtr postfix(ExpressionPtr value);
  ExpressionPtr filters_and_tests(ExpressionPtr value);
  ExpressionPtr subscript(ExpressionPtr value);
  ExpressionPtr bracket(ExpressionPtr value);
  ExpressionPtr filter(ExpressionPtr value);
  ExpressionPtr test(ExpressionPtr value);
  ExpressionPtr call(ExpressionPtr callee);
  void arguments(Expression& call);
  std::string dotted_name();

  TokenStream& tokens_;
};

}  // namespace karat::text
