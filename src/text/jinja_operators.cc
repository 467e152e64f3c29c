#include "text/jinja_operators.h"

#include <algorithm>
#include <cmath>

#include "base/text.h"
#include "text/jinja_print.h"
#include "text/python_text.h"

namespace karat::text {

namespace {

// The integer of a bool or int.
Integer whole(const Value& value) {
  const bool* flag = value.get<bool>();
  return flag != nullptr ? static_cast<Integer>(*flag) : *value.get<Integer>();
}

const char* symbol(BinaryOperator op) {
  switch (op) {
    case BinaryOperator::add:
      return "+";
    case BinaryOperator::subtract:
      return "-";
    case BinaryOperator::multiply:
      return "*";
    case BinaryOperator::divide:
      return "/";
    case BinaryOperator::floor_divide:
      return "//";
    case BinaryOperator::modulo:
      return "%";
    case BinaryOperator::power:
      return "**";
  }
  return "?";
}

// Python's floor division and the modulo that goes with it; b is not 0.
Integer floor_quotient(Integer a, Integer b) {
  const Integer quotient = a / b;
  return a % b != 0 && (a < 0) != (b < 0) ? quotient - 1 : quotient;
}

double floor_modulo(double a, double b) {
  const double rest = std::fmod(a, b);
  if (rest == 0) return std::copysign(0.0, b);
  return (rest < 0) != (b < 0) ? rest + b : rest;
}

Value integer_power(Runtime& runtime, Integer base, Integer exponent) {
  if (exponent < 0) {
    if (base == 0) runtime.fail("0 cannot be raised to a negative power");
    return Value::real(std::pow(static_cast<double>(base), static_cast<double>(exponent)));
  }
  if (base == 1 || base == 0 || base == -1) {
    if (exponent == 0) return Value::integer(Integer{1});
    return Value::integer(base == -1 && exponent % 2 == 0 ? Integer{1} : base);
  }
  Integer result = 1;
  for (Integer i = 0; i < exponent; ++i) {  // ends by overflow after at most 64 rounds
    const bool overflow = __builtin_mul_overflow(result, base, &result);
    checked_integer(runtime, overflow, result);
  }
  return Value::integer(result);
}

Value apply_to_integers(Runtime& runtime, BinaryOperator op, Integer a, Integer b) {
  Integer result = 0;
  bool overflow = false;
  switch (op) {
    case BinaryOperator::add:
      overflow = __builtin_add_overflow(a, b, &result);
      break;
    case BinaryOperator::subtract:
      overflow = __builtin_sub_overflow(a, b, &result);
      break;
    case BinaryOperator::multiply:
      overflow = __builtin_mul_overflow(a, b, &result);
      break;
    case BinaryOperator::power:
      return integer_power(runtime, a, b);
    default:
      if (b == 0) runtime.fail("division by zero");
      if (op == BinaryOperator::divide) {
        return Value::real(static_cast<double>(a) / static_cast<double>(b));
      }
      result = floor_quotient(a, b);
      if (op == BinaryOperator::modulo) result = a - result * b;
  }
  return checked_integer(runtime, overflow, result);
}

// Python refuses what overflows; a complex result is refused here.
Value real_power(Runtime& runtime, double base, double exponent) {
  const double result = std::pow(base, exponent);
  if (!std::isfinite(result) && std::isfinite(base) && std::isfinite(exponent)) {
    runtime.fail("the power is out of range");
  }
  return Value::real(result);
}

Value apply_to_reals(Runtime& runtime, BinaryOperator op, double a, double b) {
  switch (op) {
    case BinaryOperator::add:
      return Value::real(a + b);
    case BinaryOperator::subtract:
      return Value::real(a - b);
    case BinaryOperator::multiply:
      return Value::real(a * b);
    case BinaryOperator::power:
      return real_power(runtime, a, b);
    default:
      break;
  }
  if (b == 0) runtime.fail("division by zero");
  if (op == BinaryOperator::divide) return Value::real(a / b);
  const double rest = floor_modulo(a, b);
  return Value::real(op == BinaryOperator::modulo ? rest : std::round((a - rest) / b));
}

Value repeat(Runtime& runtime, const Value& value, Integer count) {
  const MarkedText* text = value.string();
  const ListObject* list = value.list();
  const size_t unit = text != nullptr ? text->text.size() : list->items.size() * sizeof(Value);
  if (count <= 0 || unit == 0) count = 0;
  if (count > static_cast<Integer>(SIZE_MAX / 2 / std::max<size_t>(unit, 1))) {
    runtime.check_bytes(SIZE_MAX);
  }
  runtime.check_bytes(static_cast<size_t>(count) * unit);
  if (text != nullptr) {
    TextBuilder out(runtime);
    for (Integer i = 0; i < count; ++i) {
      runtime.step();
      out.append(*text);
    }
    return runtime.string(out.take());
  }
  ValueList items;
  for (Integer i = 0; i < count; ++i) {
    items.insert(items.end(), list->items.begin(), list->items.end());
  }
  return list->is_tuple ? runtime.tuple(std::move(items)) : runtime.list(std::move(items));
}

Value concatenate(Runtime& runtime, const ListObject& a, const ListObject& b) {
  runtime.check_bytes((a.items.size() + b.items.size()) * sizeof(Value));
  ValueList items = a.items;
  items.insert(items.end(), b.items.begin(), b.items.end());
  return a.is_tuple ? runtime.tuple(std::move(items)) : runtime.list(std::move(items));
}

bool is_sequence(const Value& value) { return value.is_string() || value.list() != nullptr; }

}  // namespace

double to_double(const Value& number) {
  return number.is_real() ? *number.get<double>() : static_cast<double>(whole(number));
}

Value checked_integer(Runtime& runtime, bool overflow, Integer value) {
  if (overflow || value > kIntegerMax || value < -kIntegerMax) {
    runtime.fail("integer larger than 64 bits");
  }
  return Value::integer(value);
}

Value apply_binary(Runtime& runtime, BinaryOperator op, const Value& a, const Value& b) {
  if (a.is_undefined()) runtime.fail_undefined(a);
  if (op == BinaryOperator::modulo && a.is_string()) return format_percent(runtime, a, b);
  if (b.is_undefined()) runtime.fail_undefined(b);
  if (a.is_number() && b.is_number()) {
    if (a.is_real() || b.is_real()) {
      return apply_to_reals(runtime, op, to_double(a), to_double(b));
    }
    return apply_to_integers(runtime, op, whole(a), whole(b));
  }
  if (op == BinaryOperator::add) {
    if (a.is_string() && b.is_string()) {
      TextBuilder out(runtime);
      out.append(*a.string());
      out.append(*b.string());
      return runtime.string(out.take());
    }
    if (a.list() != nullptr && b.list() != nullptr && a.list()->is_tuple == b.list()->is_tuple) {
      return concatenate(runtime, *a.list(), *b.list());
    }
  }
  if (op == BinaryOperator::multiply) {
    if (is_sequence(a) && b.is_number() && !b.is_real()) return repeat(runtime, a, whole(b));
    if (is_sequence(b) && a.is_number() && !a.is_real()) return repeat(runtime, b, whole(a));
  }
  runtime.fail("unsupported operand types for %s: '%s' and '%s'", symbol(op), a.type_name(),
               b.type_name());
}

Value negate(Runtime& runtime, const Value& value) {
  if (value.is_undefined()) runtime.fail_undefined(value);
  if (!value.is_number()) runtime.fail("bad operand type for unary -: '%s'", value.type_name());
  if (value.is_real()) return Value::real(-*value.get<double>());
  return Value::integer(-whole(value));
}

namespace {

bool equal_lists(Runtime& runtime, const ListObject& a, const ListObject& b) {
  if (a.is_tuple != b.is_tuple || a.items.size() != b.items.size()) return false;
  for (size_t i = 0; i < a.items.size(); ++i) {
    if (!equal(runtime, a.items[i], b.items[i])) return false;
  }
  return true;
}

bool equal_dicts(Runtime& runtime, const DictObject& a, const DictObject& b) {
  if (a.entries.size() != b.entries.size()) return false;
  for (const auto& [key, value] : a.entries) {
    const Value* other = find(runtime, b, key);
    if (other == nullptr || !equal(runtime, value, *other)) return false;
  }
  return true;
}

}  // namespace

bool equal(Runtime& runtime, const Value& a, const Value& b) {
  runtime.step();
  if (a.is_number() && b.is_number()) {
    if (a.is_real() || b.is_real()) return to_double(a) == to_double(b);
    return whole(a) == whole(b);
  }
  if (const MarkedText* x = a.string(), *y = b.string(); x != nullptr && y != nullptr) {
    runtime.step_bytes(std::min(x->text.size(), y->text.size()));
    return x->text == y->text;
  }
  if (const ListObject* x = a.list(), *y = b.list(); x != nullptr && y != nullptr) {
    return x == y || equal_lists(runtime, *x, *y);
  }
  if (const DictObject* x = a.dict(), *y = b.dict(); x != nullptr && y != nullptr) {
    return x == y || equal_dicts(runtime, *x, *y);
  }
  if (a.is_undefined() || b.is_undefined()) return a.is_undefined() && b.is_undefined();
  if (a.is_none() || b.is_none()) return a.is_none() && b.is_none();
  if (a.namespace_object() != nullptr) return a.namespace_object() == b.namespace_object();
  if (a.callable() != nullptr) return a.callable() == b.callable();
  return a.loop() != nullptr && a.loop() == b.loop();
}

int order(Runtime& runtime, const Value& a, const Value& b) {
  runtime.step();
  if (a.is_undefined()) runtime.fail_undefined(a);
  if (b.is_undefined()) runtime.fail_undefined(b);
  const auto sign = [](const auto& x, const auto& y) { return x < y ? -1 : x > y ? 1 : 0; };
  if (a.is_number() && b.is_number()) {
    if (a.is_real() || b.is_real()) return sign(to_double(a), to_double(b));
    return sign(whole(a), whole(b));
  }
  if (a.is_string() && b.is_string()) {
    runtime.step_bytes(std::min(a.string()->text.size(), b.string()->text.size()));
    return sign(a.string()->text, b.string()->text);  // UTF-8 sorts like its code points
  }
  const ListObject *x = a.list(), *y = b.list();
  if (x == nullptr || y == nullptr || x->is_tuple != y->is_tuple) {
    runtime.fail("'%s' and '%s' cannot be ordered", a.type_name(), b.type_name());
  }
  for (size_t i = 0; i < std::min(x->items.size(), y->items.size()); ++i) {
    if (equal(runtime, x->items[i], y->items[i])) continue;
    return order(runtime, x->items[i], y->items[i]);
  }
  return sign(x->items.size(), y->items.size());
}

bool contains(Runtime& runtime, const Value& b, const Value& a) {
  if (b.is_undefined()) return false;
  if (const MarkedText* text = b.string()) {
    const MarkedText& part = expect_string(runtime, a, "the left side of 'in' a string");
    runtime.step_bytes(text->text.size());
    return text->text.find(part.text) != std::string::npos;
  }
  if (const DictObject* dict = b.dict()) return find(runtime, *dict, a) != nullptr;
  const ListObject* list = b.list();
  if (list == nullptr) runtime.fail("'in' does not work on '%s'", b.type_name());
  return std::any_of(list->items.begin(), list->items.end(),
                     [&](const Value& item) { return equal(runtime, item, a); });
}

bool compare(Runtime& runtime, Comparison op, const Value& a, const Value& b) {
  switch (op) {
    case Comparison::equal:
      return equal(runtime, a, b);
    case Comparison::not_equal:
      return !equal(runtime, a, b);
    case Comparison::in:
      return contains(runtime, b, a);
    case Comparison::not_in:
      return !contains(runtime, b, a);
    default:
      break;
  }
  if (a.is_number() && b.is_number() && (std::isnan(to_double(a)) || std::isnan(to_double(b)))) {
    return false;
  }
  const int sign = order(runtime, a, b);
  switch (op) {
    case Comparison::less:
      return sign < 0;
    case Comparison::less_equal:
      return sign <= 0;
    case Comparison::greater:
      return sign > 0;
    default:
      return sign >= 0;
  }
}

const Value* find(Runtime& runtime, const DictObject& dict, std::string_view key) {
  runtime.step(dict.entries.size() / 8);
  for (const auto& [name, value] : dict.entries) {
    const MarkedText* text = name.string();
    if (text != nullptr && text->text == key) return &value;
  }
  return nullptr;
}

const Value* find(Runtime& runtime, const DictObject& dict, const Value& key) {
  if (const MarkedText* text = key.string()) return find(runtime, dict, text->text);
  for (const auto& [name, value] : dict.entries) {
    if (equal(runtime, name, key)) return &value;
  }
  return nullptr;
}

void set_entry(Runtime& runtime, DictEntries& entries, Value key, Value value) {
  const ListObject* list = key.list();
  if ((list != nullptr && !list->is_tuple) || key.dict() != nullptr) {
    runtime.fail("a %s cannot be the key of a dict", key.type_name());
  }
  for (auto& [name, old] : entries) {
    if (!equal(runtime, name, key)) continue;
    old = std::move(value);
    return;
  }
  runtime.check_bytes((entries.size() + 1) * sizeof(DictEntries::value_type));
  entries.emplace_back(std::move(key), std::move(value));
}

namespace {

// Position in a sequence of `size` for a Python index, or nothing.
std::optional<size_t> position(Integer index, size_t size) {
  if (index < 0) index += static_cast<Integer>(size);
  if (index < 0 || index >= static_cast<Integer>(size)) return std::nullopt;
  return static_cast<size_t>(index);
}

}  // namespace

std::optional<Value> element(Runtime& runtime, const Value& value, const Value& index) {
  if (value.is_undefined()) runtime.fail_undefined(value);
  if (const DictObject* dict = value.dict()) {
    const Value* found = find(runtime, *dict, index);
    return found == nullptr ? std::nullopt : std::optional<Value>(*found);
  }
  if (!index.is_integer() && !index.is_boolean()) return std::nullopt;
  if (const ListObject* list = value.list()) {
    const auto at = position(whole(index), list->items.size());
    return at ? std::optional<Value>(list->items[*at]) : std::nullopt;
  }
  if (const MarkedText* text = value.string()) {
    runtime.step_bytes(text->text.size());
    const auto at = position(whole(index), count_code_points(text->text));
    if (!at) return std::nullopt;
    const size_t begin = byte_offset(text->text, *at);
    return runtime.string(text->part(begin, begin + code_point_at(text->text, begin).bytes));
  }
  return std::nullopt;
}

namespace {

struct SliceRange {
  Integer begin = 0, end = 0, step = 1;
};

// CPython's PySlice_AdjustIndices.
SliceRange resolve_slice(Runtime& runtime, const Value& begin, const Value& end, const Value& step,
                         size_t size) {
  const auto length = static_cast<Integer>(size);
  SliceRange out;
  if (!step.is_none()) out.step = expect_integer(runtime, step, "a slice step");
  if (out.step == 0) runtime.fail("a slice step cannot be zero");
  const bool down = out.step < 0;
  const auto clamp = [&](const Value& value) {
    Integer at = expect_integer(runtime, value, "a slice index");
    if (at < 0) at += length;
    const Integer low = down ? -1 : 0, high = down ? length - 1 : length;
    return at < low ? low : at > high ? high : at;
  };
  out.begin = begin.is_none() ? (down ? length - 1 : 0) : clamp(begin);
  out.end = end.is_none() ? (down ? -1 : length) : clamp(end);
  return out;
}

}  // namespace

Value slice(Runtime& runtime, const Value& value, const Value& begin, const Value& end,
            const Value& step) {
  if (value.is_undefined()) runtime.fail_undefined(value);
  const auto each = [](const SliceRange& range, auto visit) {
    for (Integer i = range.begin; range.step > 0 ? i < range.end : i > range.end; i += range.step) {
      visit(static_cast<size_t>(i));
    }
  };
  if (const ListObject* list = value.list()) {
    ValueList items;
    each(resolve_slice(runtime, begin, end, step, list->items.size()), [&](size_t i) {
      runtime.step();
      items.push_back(list->items[i]);
    });
    return list->is_tuple ? runtime.tuple(std::move(items)) : runtime.list(std::move(items));
  }
  const MarkedText* text = value.string();
  if (text == nullptr) runtime.fail("'%s' cannot be sliced", value.type_name());
  const std::string& bytes = text->text;
  runtime.step_bytes(bytes.size());
  const size_t size = count_code_points(bytes);
  const SliceRange range = resolve_slice(runtime, begin, end, step, size);
  if (range.step == 1) {
    const size_t first = byte_offset(bytes, static_cast<size_t>(range.begin));
    return runtime.string(text->part(first, byte_offset(bytes, static_cast<size_t>(range.end))));
  }
  runtime.check_bytes(size * sizeof(size_t));
  std::vector<size_t> starts;
  for (size_t at = 0; at < bytes.size(); at += code_point_at(bytes, at).bytes) starts.push_back(at);
  TextBuilder out(runtime);
  each(range, [&](size_t i) {
    runtime.step();
    out.append(*text, starts[i], starts[i] + code_point_at(bytes, starts[i]).bytes);
  });
  return runtime.string(out.take());
}

double round_half_even(double number, int64_t digits) {
  if (digits > 300 || !std::isfinite(number)) return number;
  if (digits < -300) return 0.0;
  if (digits == 0) return std::nearbyint(number);
  const double scale = std::pow(10.0, static_cast<double>(digits));
  if (digits < 0) return std::nearbyint(number * scale) / scale;
  // Python rounds the exact decimal expansion, which printf does too.
  return std::stod(base::strf("%.*f", static_cast<int>(digits), number));
}

}  // namespace karat::text
