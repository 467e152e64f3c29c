// Runs a parsed template.
#pragma once

#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "text/jinja_ast.h"
#include "text/jinja_runtime.h"

namespace karat::text {

// Variables of a template, a loop body, a macro call. Names point into the template or into the
// caller's variables, which outlive the run.
struct Scope {
  std::shared_ptr<Scope> parent;
  std::vector<std::pair<std::string_view, Value>> variables;
};

class Interpreter {
 public:
  // `globals`: the variables given to the template. The template and the runtime must outlive it.
  Interpreter(Runtime& runtime, std::vector<std::pair<std::string_view, Value>> globals);

  MarkedText run(const Block& block);

 private:
  enum class Flow { normal, loop_break, loop_continue };

  Flow execute(const Block& block, TextBuilder& out);
  Flow execute(const Statement& statement, TextBuilder& out);
  Flow conditional(const Statement& statement, TextBuilder& out);
  Flow loop(const Statement& statement, TextBuilder& out);
  Value loop_items(const Statement& statement);
  void assign(const Expression& target, Value value);
  void set_variable(std::string_view name, Value value);
  Value macro(const Statement& statement);
  void call_block(const Statement& statement, TextBuilder& out);
  Flow with(const Statement& statement, TextBuilder& out);
  // The text of a block, through a chain of filters if there is one.
  Value captured(const Block& block, const Expression* filters);

  Value evaluate(const Expression& expression);
  Value evaluate_node(const Expression& expression);
  Value evaluate_optional(const ExpressionPtr& expression);
  Value variable(const std::string& name);
  ValueList evaluate_all(const Expression& expression, size_t from);
  Value dict(const Expression& expression);
  Value concat(const Expression& expression);
  Value comparison(const Expression& expression);
  Value logical(const Expression& expression);
  Value conditional(const Expression& expression);
  Value filter(const Expression& expression);
  Value test(const Expression& expression);
  Value call(const Expression& expression, const Value* caller);
  Value call_macro(const CallableObject& macro, Arguments& arguments);
  void bind_parameters(const CallableObject& macro, Arguments& arguments);
  Arguments arguments(const Expression& expression);

  Runtime& runtime_;
  std::shared_ptr<Scope> globals_;
  std::shared_ptr<Scope> scope_;
  Value block_text_;  // what a filter without a value is applied to
};

}  // namespace karat::text
