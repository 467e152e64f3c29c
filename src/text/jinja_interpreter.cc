#include "text/jinja_interpreter.h"

#include <algorithm>

#include "base/text.h"
#include "text/jinja_builtins.h"
#include "text/jinja_operators.h"
#include "text/jinja_print.h"

namespace karat::text {

namespace {

// What making a scope costs, in units of Runtime::step.
constexpr size_t kScopeSteps = 4;

class DepthGuard {
 public:
  explicit DepthGuard(Runtime& runtime) : runtime_(runtime) {
    if (runtime_.depth >= runtime_.limits().depth_max) {
      runtime_.fail("calls and expressions nested deeper than %d levels",
                    runtime_.limits().depth_max);
    }
    ++runtime_.depth;
  }
  ~DepthGuard() { --runtime_.depth; }
  DepthGuard(const DepthGuard&) = delete;
  DepthGuard& operator=(const DepthGuard&) = delete;

 private:
  Runtime& runtime_;
};

// Sets a variable and puts the old value back at the end of a block.
template <class T>
class Restored {
 public:
  Restored(T& variable, T value) : variable_(variable), old_(std::move(variable)) {
    variable_ = std::move(value);
  }
  ~Restored() { variable_ = std::move(old_); }
  Restored(const Restored&) = delete;
  Restored& operator=(const Restored&) = delete;

 private:
  T& variable_;
  T old_;
};

// Empties a loop's state when the loop ends: a template may keep `loop` itself, but not through it
// ever longer chains of lists.
class LoopRelease {
 public:
  explicit LoopRelease(LoopObject& loop) : loop_(loop) {}
  ~LoopRelease() {
    loop_.items = Value();
    loop_.changed.clear();
  }
  LoopRelease(const LoopRelease&) = delete;
  LoopRelease& operator=(const LoopRelease&) = delete;

 private:
  LoopObject& loop_;
};

}  // namespace

Interpreter::Interpreter(Runtime& runtime, std::vector<std::pair<std::string_view, Value>> globals)
    : runtime_(runtime),
      globals_(std::make_shared<Scope>(Scope{nullptr, std::move(globals)})),
      scope_(globals_) {}

MarkedText Interpreter::run(const Block& block) {
  TextBuilder out(runtime_);
  execute(block, out);
  return out.take();
}

Interpreter::Flow Interpreter::execute(const Block& block, TextBuilder& out) {
  const DepthGuard depth(runtime_);
  for (const auto& statement : block) {
    runtime_.line = statement->line;
    runtime_.step();
    const Flow flow = execute(*statement, out);
    if (flow != Flow::normal) return flow;
  }
  return Flow::normal;
}

Interpreter::Flow Interpreter::execute(const Statement& statement, TextBuilder& out) {
  switch (statement.kind) {
    case Statement::Kind::text:
      out.append(statement.text);
      break;
    case Statement::Kind::print:
      print(evaluate(*statement.expressions[0]), runtime_, out);
      break;
    case Statement::Kind::conditional:
      return conditional(statement, out);
    case Statement::Kind::loop:
      return loop(statement, out);
    case Statement::Kind::set:
      assign(*statement.target, evaluate(*statement.expressions[0]));
      break;
    case Statement::Kind::set_block:
      assign(*statement.target, captured(statement.blocks[0], statement.expressions[0].get()));
      break;
    case Statement::Kind::macro:
      set_variable(statement.name, macro(statement));
      break;
    case Statement::Kind::call_block:
      call_block(statement, out);
      break;
    case Statement::Kind::filter_block:
      print(captured(statement.blocks[0], statement.expressions[0].get()), runtime_, out);
      break;
    case Statement::Kind::with:
      return with(statement, out);
    case Statement::Kind::plain:
      return execute(statement.blocks[0], out);
    case Statement::Kind::loop_break:
      return Flow::loop_break;
    case Statement::Kind::loop_continue:
      return Flow::loop_continue;
  }
  return Flow::normal;
}

Interpreter::Flow Interpreter::conditional(const Statement& statement, TextBuilder& out) {
  const size_t conditions = statement.expressions.size();
  for (size_t i = 0; i < conditions; ++i) {
    if (evaluate(*statement.expressions[i]).truth()) return execute(statement.blocks[i], out);
  }
  if (statement.blocks.size() > conditions) return execute(statement.blocks[conditions], out);
  return Flow::normal;
}

Value Interpreter::loop_items(const Statement& statement) {
  const Value iterable = evaluate(*statement.expressions[0]);
  const Expression* condition = statement.expressions[1].get();
  if (condition == nullptr) {
    return iterable.list() != nullptr ? iterable : runtime_.list(runtime_.iterate(iterable));
  }
  const Restored scope(scope_, std::make_shared<Scope>(Scope{scope_, {}}));
  ValueList kept;
  for (const Value& item : runtime_.iterate(iterable)) {
    assign(*statement.target, item);
    if (evaluate(*condition).truth()) kept.push_back(item);
  }
  return runtime_.list(std::move(kept));
}

Interpreter::Flow Interpreter::loop(const Statement& statement, TextBuilder& out) {
  auto state = std::make_shared<LoopObject>();
  const LoopRelease release(*state);
  const Value items = loop_items(statement);
  state->items = items;
  state->count = items.list()->items.size();
  if (state->count == 0) return execute(statement.blocks[1], out);
  const std::shared_ptr<Scope> outer = scope_;
  for (size_t i = 0; i < state->count; ++i) {
    runtime_.step(kScopeSteps);
    state->index = i;
    const Restored scope(scope_, std::make_shared<Scope>(Scope{outer, {}}));
    set_variable("loop", Value(Value::Variant(state)));
    assign(*statement.target, items.list()->items[i]);
    if (execute(statement.blocks[0], out) == Flow::loop_break) break;
  }
  return Flow::normal;
}

void Interpreter::set_variable(std::string_view name, Value value) {
  for (auto& [key, old] : scope_->variables) {
    if (key != name) continue;
    old = std::move(value);
    return;
  }
  scope_->variables.emplace_back(name, std::move(value));
}

void Interpreter::assign(const Expression& target, Value value) {
  if (target.kind == Expression::Kind::name) {
    set_variable(target.name, std::move(value));
  } else if (target.kind == Expression::Kind::attribute) {
    const Value object = evaluate(*target.children[0]);
    if (object.namespace_object() == nullptr) {
      runtime_.fail("cannot set an attribute of '%s', which is no namespace",
                    target.children[0]->name.c_str());
    }
    runtime_.set_attribute(*object.namespace_object(), target.name, std::move(value));
  } else {
    ValueList parts = runtime_.iterate(value);
    if (parts.size() != target.children.size()) {
      runtime_.fail("%zu values cannot be assigned to %zu names", parts.size(),
                    target.children.size());
    }
    for (size_t i = 0; i < parts.size(); ++i) assign(*target.children[i], std::move(parts[i]));
  }
}

Value Interpreter::macro(const Statement& statement) {
  auto object = std::make_shared<CallableObject>();
  object->name = statement.name;
  object->macro = &statement;
  object->scope = scope_;
  return Value(Value::Variant(std::shared_ptr<const CallableObject>(std::move(object))));
}

void Interpreter::call_block(const Statement& statement, TextBuilder& out) {
  const Value caller = macro(statement);
  print(call(*statement.expressions[0], &caller), runtime_, out);
}

Interpreter::Flow Interpreter::with(const Statement& statement, TextBuilder& out) {
  auto inner = std::make_shared<Scope>(Scope{scope_, {}});
  for (size_t i = 0; i < statement.parameters.size(); ++i) {
    inner->variables.emplace_back(statement.parameters[i], evaluate(*statement.expressions[i]));
  }
  const Restored scope(scope_, std::move(inner));
  return execute(statement.blocks[0], out);
}

Value Interpreter::captured(const Block& block, const Expression* filters) {
  TextBuilder out(runtime_);
  {
    const Restored scope(scope_, std::make_shared<Scope>(Scope{scope_, {}}));
    execute(block, out);
  }
  Value text = runtime_.string(out.take());
  if (filters == nullptr) return text;
  const Restored input(block_text_, std::move(text));
  return evaluate(*filters);
}

Value Interpreter::evaluate(const Expression& expression) {
  const DepthGuard depth(runtime_);
  runtime_.step();
  runtime_.line = expression.line;
  return evaluate_node(expression);
}

Value Interpreter::evaluate_node(const Expression& expression) {
  using Kind = Expression::Kind;
  const auto child = [&](size_t i) { return evaluate(*expression.children[i]); };
  switch (expression.kind) {
    case Kind::constant:
      return expression.constant;
    case Kind::name:
      return variable(expression.name);
    case Kind::list:
      return runtime_.list(evaluate_all(expression, 0));
    case Kind::tuple:
      return runtime_.tuple(evaluate_all(expression, 0));
    case Kind::dict:
      return dict(expression);
    case Kind::attribute:
      return attribute(runtime_, child(0), expression.name);
    case Kind::item: {
      const Value object = child(0);
      return item(runtime_, object, child(1));
    }
    case Kind::slice: {
      const Value object = child(0), begin = evaluate_optional(expression.children[1]),
                  end = evaluate_optional(expression.children[2]);
      return slice(runtime_, object, begin, end, evaluate_optional(expression.children[3]));
    }
    case Kind::call:
      return call(expression, nullptr);
    case Kind::filter:
      return filter(expression);
    case Kind::test:
      return test(expression);
    case Kind::negate:
      return negate(runtime_, child(0));
    case Kind::positive:
      return negate(runtime_, negate(runtime_, child(0)));
    case Kind::logical_not:
      return Value::boolean(!child(0).truth());
    case Kind::binary: {
      const Value left = child(0);
      return apply_binary(runtime_, expression.op, left, child(1));
    }
    case Kind::concat:
      return concat(expression);
    case Kind::compare:
      return comparison(expression);
    case Kind::logical_and:
    case Kind::logical_or:
      return logical(expression);
    case Kind::conditional:
      return conditional(expression);
  }
  return Value();
}

Value Interpreter::evaluate_optional(const ExpressionPtr& expression) {
  return expression == nullptr ? Value::none() : evaluate(*expression);
}

Value Interpreter::variable(const std::string& name) {
  for (const Scope* scope = scope_.get(); scope != nullptr; scope = scope->parent.get()) {
    for (const auto& [key, value] : scope->variables) {
      if (key == name) return value;
    }
  }
  for (const auto& [key, function] : global_functions()) {
    if (key == name) return runtime_.method(key.data(), Value::none(), function);
  }
  return Value::undefined("'" + base::printable(name, 100) + "' is undefined");
}

ValueList Interpreter::evaluate_all(const Expression& expression, size_t from) {
  ValueList out;
  for (size_t i = from; i < expression.children.size(); ++i) {
    out.push_back(evaluate(*expression.children[i]));
  }
  return out;
}

Value Interpreter::dict(const Expression& expression) {
  DictEntries entries;
  for (size_t i = 0; i + 1 < expression.children.size(); i += 2) {
    Value key = evaluate(*expression.children[i]);
    set_entry(runtime_, entries, std::move(key), evaluate(*expression.children[i + 1]));
  }
  return runtime_.dict(std::move(entries));
}

Value Interpreter::concat(const Expression& expression) {
  TextBuilder out(runtime_);
  for (const auto& part : expression.children) print(evaluate(*part), runtime_, out);
  return runtime_.string(out.take());
}

Value Interpreter::comparison(const Expression& expression) {
  Value left = evaluate(*expression.children[0]);
  for (size_t i = 0; i < expression.comparisons.size(); ++i) {
    Value right = evaluate(*expression.children[i + 1]);
    if (!compare(runtime_, expression.comparisons[i], left, right)) return Value::boolean(false);
    left = std::move(right);
  }
  return Value::boolean(true);
}

Value Interpreter::logical(const Expression& expression) {
  const bool stop_at = expression.kind == Expression::Kind::logical_or;
  Value value;
  for (const auto& part : expression.children) {
    value = evaluate(*part);
    if (value.truth() == stop_at) break;
  }
  return value;
}

Value Interpreter::conditional(const Expression& expression) {
  if (evaluate(*expression.children[0]).truth()) return evaluate(*expression.children[1]);
  if (expression.children[2] != nullptr) return evaluate(*expression.children[2]);
  return Value::undefined("the condition of an 'if' without 'else' is false");
}

Arguments Interpreter::arguments(const Expression& expression) {
  Arguments out;
  out.positional = evaluate_all(expression, 1);
  for (const auto& [name, value] : expression.named) {
    out.named.emplace_back(name, evaluate(*value));
  }
  return out;
}

Value Interpreter::filter(const Expression& expression) {
  const ExpressionPtr& subject = expression.children[0];
  const Value value = subject == nullptr ? block_text_ : evaluate(*subject);
  Arguments given = arguments(expression);
  runtime_.line = expression.line;
  return apply_filter(runtime_, expression.name, value, given);
}

Value Interpreter::test(const Expression& expression) {
  const Value value = evaluate(*expression.children[0]);
  Arguments given = arguments(expression);
  runtime_.line = expression.line;
  return Value::boolean(apply_test(runtime_, expression.name, value, given) != expression.negated);
}

Value Interpreter::call(const Expression& expression, const Value* caller) {
  const Value callee = evaluate(*expression.children[0]);
  Arguments given = arguments(expression);
  if (caller != nullptr) given.named.emplace_back("caller", *caller);
  runtime_.line = expression.line;
  if (callee.is_undefined()) runtime_.fail_undefined(callee);
  const CallableObject* object = callee.callable();
  if (object == nullptr) runtime_.fail("'%s' object cannot be called", callee.type_name());
  if (object->macro != nullptr) return call_macro(*object, given);
  return object->function(runtime_, object->self, given);
}

Value Interpreter::call_macro(const CallableObject& macro, Arguments& arguments) {
  const DepthGuard depth(runtime_);
  runtime_.step(kScopeSteps);
  // A macro that outlived the block it was defined in sees the template's variables only.
  std::shared_ptr<Scope> parent = macro.scope.lock();
  if (parent == nullptr) parent = globals_;
  const Restored scope(scope_, std::make_shared<Scope>(Scope{std::move(parent), {}}));
  bind_parameters(macro, arguments);
  TextBuilder out(runtime_);
  execute(macro.macro->blocks[0], out);
  return runtime_.string(out.take());
}

void Interpreter::bind_parameters(const CallableObject& macro, Arguments& arguments) {
  const auto& names = macro.macro->parameters;
  if (arguments.positional.size() > names.size()) {
    runtime_.fail("macro '%s' takes at most %zu arguments", macro.name.c_str(), names.size());
  }
  for (size_t i = 0; i < arguments.positional.size(); ++i) {
    set_variable(names[i], std::move(arguments.positional[i]));
  }
  for (auto& [name, value] : arguments.named) {
    const auto at = std::find(names.begin(), names.end(), name);
    const auto index = static_cast<size_t>(at - names.begin());
    if (index < arguments.positional.size()) {
      runtime_.fail("macro '%s' got '%s' twice", macro.name.c_str(), name.c_str());
    }
    if (at == names.end() && name != "caller") {
      runtime_.fail("macro '%s' has no parameter '%s'", macro.name.c_str(), name.c_str());
    }
    set_variable(at == names.end() ? std::string_view("caller") : std::string_view(*at),
                 std::move(value));
  }
  // A call block's first expression is its call, the defaults follow.
  const auto& all = macro.macro->expressions;
  const size_t skip = macro.macro->kind == Statement::Kind::call_block ? 1 : 0;
  const size_t defaults = all.size() - skip;
  for (size_t i = arguments.positional.size(); i < names.size(); ++i) {
    const auto& variables = scope_->variables;
    const bool given = std::any_of(variables.begin(), variables.end(),
                                   [&](const auto& entry) { return entry.first == names[i]; });
    if (given) continue;
    const bool has_default = i + defaults >= names.size();
    set_variable(names[i], has_default
                               ? evaluate(*all[skip + i + defaults - names.size()])
                               : Value::undefined("parameter '" + names[i] + "' was not provided"));
  }
}

}  // namespace karat::text
