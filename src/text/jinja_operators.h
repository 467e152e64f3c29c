// Python's operators on template values.
#pragma once

#include <string_view>

#include "text/jinja_runtime.h"

namespace karat::text {

enum class BinaryOperator { add, subtract, multiply, divide, floor_divide, modulo, power };
enum class Comparison { equal, not_equal, less, less_equal, greater, greater_equal, in, not_in };

Value apply_binary(Runtime& runtime, BinaryOperator op, const Value& a, const Value& b);
bool compare(Runtime& runtime, Comparison op, const Value& a, const Value& b);
Value negate(Runtime& runtime, const Value& value);

// ==: numbers by value, containers by content, namespaces and callables by identity.
bool equal(Runtime& runtime, const Value& a, const Value& b);
// Below 0, 0 or above 0; fails for types that Python does not order.
int order(Runtime& runtime, const Value& a, const Value& b);
// b contains a: element, key or substring.
bool contains(Runtime& runtime, const Value& b, const Value& a);

// Value of a key, or null.
const Value* find(Runtime& runtime, const DictObject& dict, const Value& key);
const Value* find(Runtime& runtime, const DictObject& dict, std::string_view key);
// Sets or appends an entry; fails if the key is not hashable.
void set_entry(Runtime& runtime, DictEntries& entries, Value key, Value value);

// value[index] for list, tuple, string and dict; empty if there is no such element.
std::optional<Value> element(Runtime& runtime, const Value& value, const Value& index);
// value[begin:end:step]; none is an absent bound.
Value slice(Runtime& runtime, const Value& value, const Value& begin, const Value& end,
            const Value& step);

// A number as double; the value must be a number.
double to_double(const Value& number);
// A result that must fit karat's integers.
Value checked_integer(Runtime& runtime, bool overflow, Integer value);
// Python's round-half-even to `digits` decimals, as jinja2's round filter does ("common").
double round_half_even(double number, int64_t digits);

}  // namespace karat::text
