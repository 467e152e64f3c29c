// Tests: what can follow "is".
#include <algorithm>

#include "base/text.h"
#include "text/jinja_builtins.h"
#include "text/jinja_operators.h"
#include "text/jinja_print.h"
#include "text/python_text.h"

namespace karat::text {

namespace {

using Check = bool (*)(const Value& value);

bool is_mapping(const Value& value) { return value.dict() != nullptr; }
bool is_callable(const Value& value) { return value.callable() != nullptr || value.is_undefined(); }
bool is_true(const Value& value) { return value.is_boolean() && value.truth(); }
bool is_false(const Value& value) { return value.is_boolean() && !value.truth(); }
bool is_defined(const Value& value) { return !value.is_undefined(); }
bool is_undefined(const Value& value) { return value.is_undefined(); }
bool is_none(const Value& value) { return value.is_none(); }
bool is_boolean(const Value& value) { return value.is_boolean(); }
bool is_integer(const Value& value) { return value.is_integer(); }
bool is_float(const Value& value) { return value.is_real(); }
bool is_number(const Value& value) { return value.is_number(); }
bool is_string(const Value& value) { return value.is_string(); }
// jinja2 asks for len() and [], which Undefined answers too.
bool is_sequence(const Value& value) {
  return value.is_string() || value.list() != nullptr || value.dict() != nullptr ||
         value.is_undefined();
}
bool is_iterable(const Value& value) { return is_sequence(value) || value.loop() != nullptr; }
bool is_escaped(const Value&) { return false; }

// Tests without arguments that look at the value only.
const NamedFunctions<Check>& checks() {
  static const NamedFunctions<Check> table = {
      {"defined", is_defined},   {"undefined", is_undefined}, {"none", is_none},
      {"boolean", is_boolean},   {"integer", is_integer},     {"float", is_float},
      {"number", is_number},     {"string", is_string},       {"mapping", is_mapping},
      {"sequence", is_sequence}, {"iterable", is_iterable},   {"callable", is_callable},
      {"true", is_true},         {"false", is_false},         {"escaped", is_escaped},
  };
  return table;
}

template <Comparison kOp>
bool compares(Runtime& runtime, const Value& value, Arguments& arguments) {
  const auto values = bind(runtime, "the test", arguments, {"other"}, 1);
  return compare(runtime, kOp, value, *values[0]);
}

Value remainder(Runtime& runtime, const Value& value, const Value& by) {
  return apply_binary(runtime, BinaryOperator::modulo, value, by);
}

bool is_odd(Runtime& runtime, const Value& value, Arguments& arguments) {
  bind(runtime, "odd", arguments, {}, 0);
  const Value one = Value::integer(Integer{1});
  return equal(runtime, remainder(runtime, value, Value::integer(Integer{2})), one);
}

bool is_even(Runtime& runtime, const Value& value, Arguments& arguments) {
  bind(runtime, "even", arguments, {}, 0);
  return !remainder(runtime, value, Value::integer(Integer{2})).truth();
}

bool is_divisible(Runtime& runtime, const Value& value, Arguments& arguments) {
  const auto values = bind(runtime, "divisibleby", arguments, {"num"}, 1);
  return !remainder(runtime, value, *values[0]).truth();
}

bool is_same(Runtime& runtime, const Value& value, Arguments& arguments) {
  const auto values = bind(runtime, "sameas", arguments, {"other"}, 1);
  const Value& other = *values[0];
  if (value.list() != nullptr || value.dict() != nullptr) {
    return value.list() == other.list() && value.dict() == other.dict();
  }
  return std::string_view(value.type_name()) == other.type_name() && equal(runtime, value, other);
}

bool is_upper(Runtime& runtime, const Value& value, Arguments& arguments) {
  bind(runtime, "upper", arguments, {}, 0);
  return is_upper_case(to_string(runtime, value).string()->text);
}

bool is_lower(Runtime& runtime, const Value& value, Arguments& arguments) {
  bind(runtime, "lower", arguments, {}, 0);
  return is_lower_case(to_string(runtime, value).string()->text);
}

bool is_filter(Runtime& runtime, const Value& value, Arguments& arguments) {
  bind(runtime, "filter", arguments, {}, 0);
  const std::string& name = expect_string(runtime, value, "a filter's name").text;
  return find_function(scalar_filters(), name) != nullptr ||
         find_function(list_filters(), name) != nullptr;
}

const NamedFunctions<Test>& tests() {
  static const NamedFunctions<Test> table = {
      {"eq", compares<Comparison::equal>},
      {"equalto", compares<Comparison::equal>},
      {"==", compares<Comparison::equal>},
      {"ne", compares<Comparison::not_equal>},
      {"!=", compares<Comparison::not_equal>},
      {"lt", compares<Comparison::less>},
      {"lessthan", compares<Comparison::less>},
      {"<", compares<Comparison::less>},
      {"le", compares<Comparison::less_equal>},
      {"<=", compares<Comparison::less_equal>},
      {"gt", compares<Comparison::greater>},
      {"greaterthan", compares<Comparison::greater>},
      {">", compares<Comparison::greater>},
      {"ge", compares<Comparison::greater_equal>},
      {">=", compares<Comparison::greater_equal>},
      {"in", compares<Comparison::in>},
      {"odd", is_odd},
      {"even", is_even},
      {"divisibleby", is_divisible},
      {"sameas", is_same},
      {"upper", is_upper},
      {"lower", is_lower},
      {"filter", is_filter},
  };
  return table;
}

}  // namespace

bool apply_test(Runtime& runtime, std::string_view name, const Value& value, Arguments& arguments) {
  if (const Check check = find_function(checks(), name)) {
    bind(runtime, name, arguments, {}, 0);
    return check(value);
  }
  const Test test = find_function(tests(), name);
  if (test == nullptr) runtime.fail("unknown test '%s'", base::printable(name, 60).c_str());
  return test(runtime, value, arguments);
}

}  // namespace karat::text
