#include "text/jinja_parser.h"

#include <algorithm>
#include <initializer_list>

#include "base/text.h"
#include "text/jinja_expression_parser.h"
#include "text/jinja_runtime.h"

namespace karat::text {

namespace {

class Parser {
 public:
  explicit Parser(TokenStream tokens) : tokens_(std::move(tokens)), expressions_(tokens_) {}

  Block run() {
    Block out = block({});
    if (tokens_.current().kind != Token::Kind::end) {
      tokens_.fail("unexpected tag " + tokens_.describe());
    }
    return out;
  }

 private:
  using Kind = Statement::Kind;
  using Ends = std::initializer_list<std::string_view>;

  std::unique_ptr<Statement> make(Kind kind) const {
    auto out = std::make_unique<Statement>();
    out->kind = kind;
    out->line = tokens_.line();
    return out;
  }

  // Statements up to a tag whose name is one of `ends` (or the end of the template, if there are
  // none); stops behind that tag's opening, at its name.
  Block block(Ends ends) {
    const Nesting nesting(tokens_);
    const int opened = tokens_.line();
    Block out;
    for (;;) {
      const Token::Kind kind = tokens_.current().kind;
      if (kind == Token::Kind::data) {
        auto text = make(Kind::text);
        text->text = tokens_.next().text;
        out.push_back(std::move(text));
      } else if (kind == Token::Kind::variable_begin) {
        out.push_back(print());
      } else if (kind == Token::Kind::block_begin) {
        tokens_.next();
        const bool ended =
            std::any_of(ends.begin(), ends.end(), [&](auto name) { return tokens_.at_name(name); });
        if (ended) return out;
        out.push_back(statement());
        tokens_.expect(Token::Kind::block_end);
      } else if (ends.size() == 0) {
        return out;
      } else {
        tokens_.fail(base::strf("the block of line %d is not closed: expected '%s'", opened,
                                std::string(ends.begin()[ends.size() - 1]).c_str()));
      }
    }
  }

  // A block and the name of the tag that ends it.
  Block body(Ends ends) {
    tokens_.expect(Token::Kind::block_end);
    return block(ends);
  }

  std::unique_ptr<const Statement> print() {
    auto out = make(Kind::print);
    tokens_.next();
    out->expressions.push_back(expressions_.tuple());
    tokens_.expect(Token::Kind::variable_end);
    return out;
  }

  std::unique_ptr<const Statement> statement() {
    if (tokens_.current().kind != Token::Kind::name) {
      tokens_.fail("expected the name of a tag, got " + tokens_.describe());
    }
    if (tokens_.skip_name("if")) return conditional();
    if (tokens_.skip_name("for")) return loop();
    if (tokens_.skip_name("set")) return set();
    if (tokens_.skip_name("macro")) return macro();
    if (tokens_.skip_name("call")) return call_block();
    if (tokens_.skip_name("filter")) return filter_block();
    if (tokens_.skip_name("with")) return with();
    if (tokens_.skip_name("generation")) return generation();
    if (tokens_.at_name("break") || tokens_.at_name("continue")) return loop_control();
    const std::string name = tokens_.current().text;
    for (const char* known :
         {"include", "import", "from", "extends", "block", "autoescape", "do"}) {
      if (name == known) tokens_.fail_unsupported("{% " + name + " %}");
    }
    tokens_.fail("unknown tag '" + base::printable(name, 60) + "'");
  }

  std::unique_ptr<const Statement> conditional() {
    auto out = make(Kind::conditional);
    out->expressions.push_back(expressions_.tuple(false));
    for (;;) {
      out->blocks.push_back(body({"elif", "else", "endif"}));
      if (tokens_.skip_name("endif")) return out;
      if (tokens_.skip_name("elif")) {
        out->expressions.push_back(expressions_.tuple(false));
        continue;
      }
      tokens_.next();
      out->blocks.push_back(body({"endif"}));
      tokens_.next();
      return out;
    }
  }

  std::unique_ptr<const Statement> loop() {
    auto out = make(Kind::loop);
    out->target = expressions_.target(false);
    tokens_.expect_name("in");
    out->expressions.push_back(expressions_.tuple(false));
    out->expressions.push_back(tokens_.skip_name("if") ? expressions_.expression() : nullptr);
    if (tokens_.at_name("recursive")) tokens_.fail_unsupported("a recursive loop");
    ++loops_;
    out->blocks.push_back(body({"else", "endfor"}));
    --loops_;
    const bool has_else = tokens_.at_name("else");
    tokens_.next();
    if (has_else) {
      out->blocks.push_back(body({"endfor"}));
      tokens_.next();
    } else {
      out->blocks.emplace_back();
    }
    return out;
  }

  std::unique_ptr<const Statement> loop_control() {
    auto out = make(tokens_.at_name("break") ? Kind::loop_break : Kind::loop_continue);
    if (loops_ == 0) tokens_.fail(tokens_.describe() + " outside of a loop");
    tokens_.next();
    return out;
  }

  std::unique_ptr<const Statement> set() {
    auto out = make(Kind::set);
    out->target = expressions_.target(true);
    if (tokens_.skip_symbol("=")) {
      out->expressions.push_back(expressions_.tuple());
      return out;
    }
    out->kind = Kind::set_block;
    out->expressions.push_back(expressions_.filter_chain(false));
    out->blocks.push_back(body({"endset"}));
    tokens_.next();
    return out;
  }

  // "(a, b=1)"; the defaults belong to the last parameters.
  void signature(Statement& out) {
    tokens_.expect_symbol("(");
    bool defaults = false;
    while (!tokens_.at_symbol(")")) {
      if (!out.parameters.empty()) tokens_.expect_symbol(",");
      if (tokens_.at_symbol(")")) break;
      out.parameters.push_back(tokens_.expect_any_name());
      if (tokens_.skip_symbol("=")) {
        defaults = true;
        out.expressions.push_back(expressions_.expression());
      } else if (defaults) {
        tokens_.fail("a parameter without a default after one with a default");
      }
    }
    tokens_.expect_symbol(")");
  }

  // A macro's body cannot break out of a loop around it.
  Block macro_body(std::string_view end) {
    const int loops = std::exchange(loops_, 0);
    Block out = body({end});
    loops_ = loops;
    tokens_.next();
    return out;
  }

  std::unique_ptr<const Statement> macro() {
    auto out = make(Kind::macro);
    out->name = tokens_.expect_any_name();
    signature(*out);
    out->blocks.push_back(macro_body("endmacro"));
    return out;
  }

  std::unique_ptr<const Statement> call_block() {
    auto out = make(Kind::call_block);
    out->name = "caller";
    if (tokens_.at_symbol("(")) signature(*out);
    ExpressionPtr call = expressions_.expression();
    if (call->kind != Expression::Kind::call) tokens_.fail("{% call %} needs a call");
    out->expressions.insert(out->expressions.begin(), std::move(call));
    out->blocks.push_back(macro_body("endcall"));
    return out;
  }

  std::unique_ptr<const Statement> filter_block() {
    auto out = make(Kind::filter_block);
    out->expressions.push_back(expressions_.filter_chain(true));
    out->blocks.push_back(body({"endfilter"}));
    tokens_.next();
    return out;
  }

  std::unique_ptr<const Statement> with() {
    auto out = make(Kind::with);
    while (tokens_.current().kind != Token::Kind::block_end) {
      if (!out->parameters.empty()) tokens_.expect_symbol(",");
      out->parameters.push_back(tokens_.expect_any_name());
      tokens_.expect_symbol("=");
      out->expressions.push_back(expressions_.expression());
    }
    out->blocks.push_back(body({"endwith"}));
    tokens_.next();
    return out;
  }

  std::unique_ptr<const Statement> generation() {
    auto out = make(Kind::plain);
    out->blocks.push_back(body({"endgeneration"}));
    tokens_.next();
    return out;
  }

  TokenStream tokens_;
  ExpressionParser expressions_;
  int loops_ = 0;
};

}  // namespace

Block parse_template(std::string_view source, const std::string& name, const JinjaLimits& limits) {
  return Parser(TokenStream(tokenize_template(source, name, limits.tokens_max), name,
                            limits.nesting_max))
      .run();
}

}  // namespace karat::text
