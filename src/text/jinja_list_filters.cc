// Filters that work on sequences and dicts. Where jinja2 gives a generator, this gives a list.
#include <algorithm>

#include "text/jinja_builtins.h"
#include "text/jinja_operators.h"
#include "text/jinja_print.h"
#include "text/python_text.h"

namespace karat::text {

namespace {

// jinja2's attribute paths: "a.b.0"; an integer is an index.
Value follow(Runtime& runtime, const Value& value, const Value& path) {
  const MarkedText* text = path.string();
  if (text == nullptr) return item(runtime, value, path);
  Value out = value;
  for (size_t begin = 0; begin <= text->text.size();) {
    const size_t end = std::min(text->text.find('.', begin), text->text.size());
    const std::string part = text->text.substr(begin, end - begin);
    const bool number = !part.empty() && part.size() < 18 &&
                        part.find_first_not_of("0123456789") == std::string::npos;
    out = item(runtime, out,
               number ? Value::integer(Integer{std::stoll(part)}) : runtime.string(part));
    begin = end + 1;
  }
  return out;
}

// What sorting and uniqueness compare: the value or its attribute, strings in lower case unless
// case matters.
Value sort_key(Runtime& runtime, const Value& value, const std::optional<Value>& path,
               bool case_sensitive) {
  Value key = path && !path->is_none() ? follow(runtime, value, *path) : value;
  const MarkedText* text = key.string();
  if (case_sensitive || text == nullptr) return key;
  return runtime.string_like(*text, lower_case(text->text));
}

bool flag(const std::optional<Value>& value) { return value && value->truth(); }

using Keyed = std::vector<std::pair<Value, Value>>;  // key, item

Keyed keyed(Runtime& runtime, const ValueList& items, const std::optional<Value>& path,
            bool case_sensitive) {
  Keyed out;
  for (const Value& value : items) {
    out.emplace_back(sort_key(runtime, value, path, case_sensitive), value);
  }
  return out;
}

void sort_keyed(Runtime& runtime, Keyed& items, bool reverse) {
  // Reversed, equal items still keep their order, as in Python.
  std::stable_sort(items.begin(), items.end(), [&](const auto& a, const auto& b) {
    const int sign = order(runtime, a.first, b.first);
    return reverse ? sign > 0 : sign < 0;
  });
}

Value sort(Runtime& runtime, const Value& value, Arguments& arguments) {
  const auto values =
      bind(runtime, "sort", arguments, {"reverse", "case_sensitive", "attribute"}, 0);
  Keyed items = keyed(runtime, runtime.iterate(value), values[2], flag(values[1]));
  sort_keyed(runtime, items, flag(values[0]));
  ValueList out;
  for (auto& entry : items) out.push_back(std::move(entry.second));
  return runtime.list(std::move(out));
}

Value dictsort(Runtime& runtime, const Value& value, Arguments& arguments) {
  const auto values = bind(runtime, "dictsort", arguments, {"case_sensitive", "by", "reverse"}, 0);
  if (value.is_undefined()) runtime.fail_undefined(value);
  const DictObject* dict = value.dict();
  if (dict == nullptr) runtime.fail("dictsort needs a dict, not %s", value.type_name());
  const std::string by = values[1] ? expect_string(runtime, *values[1], "by").text : "key";
  if (by != "key" && by != "value") runtime.fail("dictsort sorts by 'key' or 'value'");
  Keyed items;
  for (const auto& [key, element] : dict->entries) {
    items.emplace_back(
        sort_key(runtime, by == "key" ? key : element, std::nullopt, flag(values[0])),
        runtime.tuple({key, element}));
  }
  sort_keyed(runtime, items, flag(values[2]));
  ValueList out;
  for (auto& entry : items) out.push_back(std::move(entry.second));
  return runtime.list(std::move(out));
}

Value unique(Runtime& runtime, const Value& value, Arguments& arguments) {
  const auto values = bind(runtime, "unique", arguments, {"case_sensitive", "attribute"}, 0);
  ValueList seen, out;
  for (auto& [key, element] : keyed(runtime, runtime.iterate(value), values[1], flag(values[0]))) {
    const bool known = std::any_of(seen.begin(), seen.end(), [&, &wanted = key](const Value& old) {
      return equal(runtime, old, wanted);
    });
    if (known) continue;
    seen.push_back(key);
    out.push_back(element);
  }
  return runtime.list(std::move(out));
}

template <bool kLargest>
Value extreme(Runtime& runtime, const Value& value, Arguments& arguments) {
  const auto values = bind(runtime, "min and max", arguments, {"case_sensitive", "attribute"}, 0);
  const Keyed items = keyed(runtime, runtime.iterate(value), values[1], flag(values[0]));
  if (items.empty()) return Value::undefined("No aggregated item, sequence was empty.");
  size_t best = 0;
  for (size_t i = 1; i < items.size(); ++i) {
    const int sign = order(runtime, items[i].first, items[best].first);
    if (kLargest ? sign > 0 : sign < 0) best = i;
  }
  return items[best].second;
}

Value sum(Runtime& runtime, const Value& value, Arguments& arguments) {
  const auto values = bind(runtime, "sum", arguments, {"attribute", "start"}, 0);
  Value total = values[1].value_or(Value::integer(Integer{0}));
  for (const Value& element : runtime.iterate(value)) {
    const bool by_attribute = values[0] && !values[0]->is_none();
    total = apply_binary(runtime, BinaryOperator::add, total,
                         by_attribute ? follow(runtime, element, *values[0]) : element);
  }
  return total;
}

Value first(Runtime& runtime, const Value& value, Arguments& arguments) {
  bind(runtime, "first", arguments, {}, 0);
  ValueList items = runtime.iterate(value);
  if (items.empty()) return Value::undefined("No first item, sequence was empty.");
  return items.front();
}

Value last(Runtime& runtime, const Value& value, Arguments& arguments) {
  bind(runtime, "last", arguments, {}, 0);
  ValueList items = runtime.iterate(value);
  if (items.empty()) return Value::undefined("No last item, sequence was empty.");
  return items.back();
}

Value list(Runtime& runtime, const Value& value, Arguments& arguments) {
  bind(runtime, "list", arguments, {}, 0);
  return runtime.list(runtime.iterate(value));
}

Value reverse(Runtime& runtime, const Value& value, Arguments& arguments) {
  bind(runtime, "reverse", arguments, {}, 0);
  if (value.is_string()) {
    return slice(runtime, value, Value::none(), Value::none(), Value::integer(Integer{-1}));
  }
  ValueList items = runtime.iterate(value);
  std::reverse(items.begin(), items.end());
  return runtime.list(std::move(items));
}

Value join(Runtime& runtime, const Value& value, Arguments& arguments) {
  const auto values = bind(runtime, "join", arguments, {"d", "attribute"}, 0);
  const Value between = to_string(runtime, values[0].value_or(Value()));
  TextBuilder out(runtime);
  bool is_first = true;
  for (const Value& element : runtime.iterate(value)) {
    if (!is_first) out.append(*between.string());
    is_first = false;
    const bool by_attribute = values[1] && !values[1]->is_none();
    print(by_attribute ? follow(runtime, element, *values[1]) : element, runtime, out);
  }
  return runtime.string(out.take());
}

Value items(Runtime& runtime, const Value& value, Arguments& arguments) {
  bind(runtime, "items", arguments, {}, 0);
  if (value.is_undefined()) return runtime.list({});
  if (value.dict() == nullptr) runtime.fail("Can only get item pairs from a mapping.");
  Arguments none;
  return find_function(container_methods(), "items")(runtime, value, none);
}

// Removes and returns the first positional argument.
Value take_first(Arguments& arguments) {
  Value out = std::move(arguments.positional.front());
  arguments.positional.erase(arguments.positional.begin());
  return out;
}

std::optional<Value> take_named(Arguments& arguments, std::string_view name) {
  const auto at = std::find_if(arguments.named.begin(), arguments.named.end(),
                               [&](const auto& argument) { return argument.first == name; });
  if (at == arguments.named.end()) return std::nullopt;
  Value out = std::move(at->second);
  arguments.named.erase(at);
  return out;
}

// What map, select and reject walk: jinja2 does not even ask whether something false is iterable.
ValueList items_if_any(Runtime& runtime, const Value& value) {
  return value.truth() ? runtime.iterate(value) : ValueList{};
}

Value map(Runtime& runtime, const Value& value, Arguments& arguments) {
  ValueList out;
  if (arguments.positional.empty()) {
    const auto path = take_named(arguments, "attribute");
    const auto absent = take_named(arguments, "default");
    if (!path || !arguments.named.empty()) runtime.fail("map needs a filter or an attribute");
    for (const Value& element : items_if_any(runtime, value)) {
      Value found = follow(runtime, element, *path);
      out.push_back(found.is_undefined() && absent ? *absent : std::move(found));
    }
    return runtime.list(std::move(out));
  }
  const Value name = take_first(arguments);
  const std::string& filter = expect_string(runtime, name, "map's filter").text;
  for (const Value& element : items_if_any(runtime, value)) {
    Arguments copy = arguments;
    out.push_back(apply_filter(runtime, filter, element, copy));
  }
  return runtime.list(std::move(out));
}

// select, reject, selectattr, rejectattr: keeps what passes (or fails) a test, by default truth.
template <bool kByAttribute, bool kKeep>
Value select(Runtime& runtime, const Value& value, Arguments& arguments) {
  Value path;
  if (kByAttribute) {
    if (arguments.positional.empty()) runtime.fail("selectattr needs an attribute");
    path = take_first(arguments);
  }
  std::string test;
  if (!arguments.positional.empty()) {
    const Value name = take_first(arguments);
    test = expect_string(runtime, name, "the test's name").text;
  }
  ValueList out;
  for (const Value& element : items_if_any(runtime, value)) {
    runtime.step();
    const Value subject = kByAttribute ? follow(runtime, element, path) : element;
    Arguments copy = arguments;
    const bool passes = test.empty() ? subject.truth() : apply_test(runtime, test, subject, copy);
    if (passes == kKeep) out.push_back(element);
  }
  return runtime.list(std::move(out));
}

}  // namespace

const NamedFunctions<Filter>& list_filters() {
  static const NamedFunctions<Filter> table = {
      {"sort", sort},
      {"dictsort", dictsort},
      {"unique", unique},
      {"min", extreme<false>},
      {"max", extreme<true>},
      {"sum", sum},
      {"first", first},
      {"last", last},
      {"list", list},
      {"reverse", reverse},
      {"join", join},
      {"items", items},
      {"map", map},
      {"select", select<false, true>},
      {"reject", select<false, false>},
      {"selectattr", select<true, true>},
      {"rejectattr", select<true, false>},
  };
  return table;
}

}  // namespace karat::text
