#include "text/jinja_value.h"

namespace karat::text {

Value Value::undefined(std::string message) {
  return Value(Variant(Undefined{std::make_shared<const std::string>(std::move(message))}));
}

namespace {

template <class T>
T* pointee(const Value& value) {
  const auto* shared = value.get<std::shared_ptr<T>>();
  return shared == nullptr ? nullptr : shared->get();
}

}  // namespace

const MarkedText* Value::string() const {
  const StringObject* object = pointee<const StringObject>(*this);
  return object == nullptr ? nullptr : &object->text;
}
const ListObject* Value::list() const { return pointee<const ListObject>(*this); }
const DictObject* Value::dict() const { return pointee<const DictObject>(*this); }
NamespaceObject* Value::namespace_object() const { return pointee<NamespaceObject>(*this); }
const CallableObject* Value::callable() const { return pointee<const CallableObject>(*this); }
LoopObject* Value::loop() const { return pointee<LoopObject>(*this); }

bool Value::truth() const {
  if (is_undefined() || is_none()) return false;
  if (const bool* value = get<bool>()) return *value;
  if (const Integer* value = get<Integer>()) return *value != 0;
  if (const double* value = get<double>()) return *value != 0;
  if (const MarkedText* value = string()) return !value->text.empty();
  if (const ListObject* value = list()) return !value->items.empty();
  if (const DictObject* value = dict()) return !value->entries.empty();
  return true;
}

const char* Value::type_name() const {
  if (is_undefined()) return "Undefined";
  if (is_none()) return "NoneType";
  if (is_boolean()) return "bool";
  if (is_integer()) return "int";
  if (is_real()) return "float";
  if (is_string()) return "str";
  if (const ListObject* value = list()) return value->is_tuple ? "tuple" : "list";
  if (dict() != nullptr) return "dict";
  if (namespace_object() != nullptr) return "Namespace";
  return loop() != nullptr ? "LoopContext" : "function";
}

int Value::depth() const {
  if (const ListObject* value = list()) return value->depth;
  if (const DictObject* value = dict()) return value->depth;
  if (const CallableObject* value = callable()) return value->self.depth() + 1;
  return 0;
}

const std::string& Value::undefined_message() const {
  static const std::string plain = "value is undefined";
  const Undefined* value = get<Undefined>();
  return value == nullptr || value->message == nullptr ? plain : *value->message;
}

const Value* NamespaceObject::find(std::string_view name) const {
  for (const auto& [key, value] : attributes) {
    if (key == name) return &value;
  }
  return nullptr;
}

}  // namespace karat::text
