// Attributes and items of values, and the methods of dicts and lists.
#include <algorithm>

#include "base/text.h"
#include "text/jinja_builtins.h"
#include "text/jinja_operators.h"

namespace karat::text {

namespace {

Value dict_get(Runtime& runtime, const Value& self, Arguments& arguments) {
  const auto values = bind(runtime, "get", arguments, {"key", "default"}, 1);
  const Value* found = find(runtime, *self.dict(), *values[0]);
  return found != nullptr ? *found : values[1].value_or(Value::none());
}

Value dict_items(Runtime& runtime, const Value& self, Arguments& arguments) {
  bind(runtime, "items", arguments, {}, 0);
  ValueList out;
  for (const auto& [key, value] : self.dict()->entries) out.push_back(runtime.tuple({key, value}));
  return runtime.list(std::move(out));
}

Value dict_keys(Runtime& runtime, const Value& self, Arguments& arguments) {
  bind(runtime, "keys", arguments, {}, 0);
  return runtime.list(runtime.iterate(self));
}

Value dict_values(Runtime& runtime, const Value& self, Arguments& arguments) {
  bind(runtime, "values", arguments, {}, 0);
  ValueList out;
  for (const auto& entry : self.dict()->entries) out.push_back(entry.second);
  return runtime.list(std::move(out));
}

Value copy(Runtime& runtime, const Value& self, Arguments& arguments) {
  bind(runtime, "copy", arguments, {}, 0);
  return self;
}

Value list_index(Runtime& runtime, const Value& self, Arguments& arguments) {
  const auto values = bind(runtime, "index", arguments, {"value"}, 1);
  const ValueList& items = self.list()->items;
  for (size_t i = 0; i < items.size(); ++i) {
    if (equal(runtime, items[i], *values[0])) return Value::integer(i);
  }
  runtime.fail("the value is not in the list");
}

Value list_count(Runtime& runtime, const Value& self, Arguments& arguments) {
  const auto values = bind(runtime, "count", arguments, {"value"}, 1);
  const ValueList& items = self.list()->items;
  return Value::integer(
      static_cast<size_t>(std::count_if(items.begin(), items.end(), [&](const Value& item) {
        return equal(runtime, item, *values[0]);
      })));
}

Value loop_cycle(Runtime& runtime, const Value& self, Arguments& arguments) {
  if (arguments.positional.empty()) runtime.fail("loop.cycle needs arguments");
  return arguments.positional[self.loop()->index % arguments.positional.size()];
}

Value loop_changed(Runtime& runtime, const Value& self, Arguments& arguments) {
  LoopObject& loop = *self.loop();
  ValueList& last = loop.changed;
  bool same = loop.changed_called && last.size() == arguments.positional.size();
  for (size_t i = 0; same && i < last.size(); ++i) {
    same = equal(runtime, last[i], arguments.positional[i]);
  }
  loop.changed_called = true;
  if (!same) last = std::move(arguments.positional);
  return Value::boolean(!same);
}

Value loop_attribute(Runtime& runtime, const Value& value, const std::string& name) {
  const LoopObject& loop = *value.loop();
  const ListObject* items = loop.items.list();  // null when the loop has ended
  const auto neighbour = [&](bool exists, size_t at, const char* which) {
    if (exists && items != nullptr && at < items->items.size()) return items->items[at];
    return Value::undefined(base::strf("there is no %s item", which));
  };
  if (name == "index") return Value::integer(loop.index + 1);
  if (name == "index0") return Value::integer(loop.index);
  if (name == "revindex") return Value::integer(loop.count - loop.index);
  if (name == "revindex0") return Value::integer(loop.count - loop.index - 1);
  if (name == "first") return Value::boolean(loop.index == 0);
  if (name == "last") return Value::boolean(loop.index + 1 == loop.count);
  if (name == "length") return Value::integer(loop.count);
  if (name == "depth") return Value::integer(Integer{1});  // counts recursive loops only
  if (name == "depth0") return Value::integer(Integer{0});
  if (name == "previtem") return neighbour(loop.index > 0, loop.index - 1, "previous");
  if (name == "nextitem") return neighbour(true, loop.index + 1, "next");
  if (name == "cycle") return runtime.method("cycle", value, loop_cycle);
  if (name == "changed") return runtime.method("changed", value, loop_changed);
  return Value::undefined("'loop' has no attribute '" + name + "'");
}

// A method of dict, list or string bound to the value, or nothing.
std::optional<Value> method_of(Runtime& runtime, const Value& value, const std::string& name) {
  const auto& table = value.is_string() ? string_methods() : container_methods();
  const bool has_methods = value.is_string() || value.list() != nullptr || value.dict() != nullptr;
  if (!has_methods) return std::nullopt;
  for (const auto& [key, function] : table) {
    if (key != name) continue;
    const bool of_list = name == "index" || name == "count";
    if (!value.is_string() && name != "copy" && of_list != (value.list() != nullptr)) continue;
    return runtime.method(key.data(), value, function);
  }
  return std::nullopt;
}

Value missing(const Value& value, const std::string& name) {
  return Value::undefined(base::strf("'%s object' has no attribute '%s'", value.type_name(),
                                     base::printable(name, 100).c_str()));
}

}  // namespace

const NamedFunctions<CallableObject::Function>& container_methods() {
  static const NamedFunctions<CallableObject::Function> table = {
      {"get", dict_get},     {"items", dict_items}, {"keys", dict_keys}, {"values", dict_values},
      {"index", list_index}, {"count", list_count}, {"copy", copy},
  };
  return table;
}

Value attribute(Runtime& runtime, const Value& value, const std::string& name) {
  if (value.is_undefined()) runtime.fail_undefined(value);
  if (value.loop() != nullptr) return loop_attribute(runtime, value, name);
  if (const NamespaceObject* object = value.namespace_object()) {
    runtime.step(object->attributes.size() / 8);
    const Value* found = object->find(name);
    return found != nullptr ? *found : missing(value, name);
  }
  if (auto method = method_of(runtime, value, name)) return *method;
  if (const DictObject* dict = value.dict()) {
    const Value* found = find(runtime, *dict, name);
    if (found != nullptr) return *found;
  }
  if (const CallableObject* callable = value.callable();
      callable != nullptr && callable->macro != nullptr && name == "name") {
    return runtime.string(callable->name);
  }
  return missing(value, name);
}

Value item(Runtime& runtime, const Value& value, const Value& index) {
  if (auto found = element(runtime, value, index)) return *found;
  const MarkedText* name = index.string();
  if (name == nullptr) {
    if (value.list() == nullptr && !value.is_string() && value.dict() == nullptr &&
        value.namespace_object() == nullptr && value.loop() == nullptr) {
      return Value::undefined(base::strf("'%s' object has no items", value.type_name()));
    }
    return Value::undefined(base::strf("'%s object' has no such element", value.type_name()));
  }
  if (auto method = method_of(runtime, value, name->text)) return *method;
  return value.dict() != nullptr ? missing(value, name->text)
                                 : attribute(runtime, value, name->text);
}

}  // namespace karat::text
