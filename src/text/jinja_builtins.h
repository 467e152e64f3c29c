// What templates can call by name: filters, tests, methods and global functions.
#pragma once

#include <string_view>
#include <utility>
#include <vector>

#include "text/jinja_runtime.h"

namespace karat::text {

using Filter = Value (*)(Runtime& runtime, const Value& value, Arguments& arguments);
using Test = bool (*)(Runtime& runtime, const Value& value, Arguments& arguments);
template <class Function>
using NamedFunctions = std::vector<std::pair<std::string_view, Function>>;

// value | name(arguments); fails for an unknown name.
Value apply_filter(Runtime& runtime, std::string_view name, const Value& value,
                   Arguments& arguments);
// value is name(arguments).
bool apply_test(Runtime& runtime, std::string_view name, const Value& value, Arguments& arguments);

// value.name: an element of a dict or namespace, a method bound to the value, or undefined.
Value attribute(Runtime& runtime, const Value& value, const std::string& name);
// value[index]: an element, or the attribute of that name, or undefined.
Value item(Runtime& runtime, const Value& value, const Value& index);

// Parts of the tables, each in the file of that name.
const NamedFunctions<Filter>& scalar_filters();
const NamedFunctions<Filter>& list_filters();
const NamedFunctions<CallableObject::Function>& string_methods();
const NamedFunctions<CallableObject::Function>& container_methods();
const NamedFunctions<CallableObject::Function>& global_functions();

template <class Function>
Function find_function(const NamedFunctions<Function>& table, std::string_view name) {
  for (const auto& [key, function] : table) {
    if (key == name) return function;
  }
  return nullptr;
}

}  // namespace karat::text
