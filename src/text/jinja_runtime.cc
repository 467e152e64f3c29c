#include "text/jinja_runtime.h"

#include <algorithm>
#include <cstdarg>

#include "base/error.h"
#include "base/text.h"
#include "text/python_text.h"

namespace karat::text {

using base::ErrorKind;

namespace {

// Longest message; long enough for names and types, short enough for one line.
constexpr size_t kMessageBytesMax = 500;
constexpr size_t kStepsPerClockRead = 4096;
// What a heap object costs beside its content: control block, members, allocator.
constexpr size_t kObjectBytes = 112;

size_t text_bytes(const MarkedText& text) {
  return kObjectBytes + text.text.size() + text.input.size() * sizeof(TextSpan);
}

}  // namespace

Runtime::Runtime(std::string name, const JinjaLimits& limits, JinjaCircumstances circumstances)
    : name_(std::move(name)),
      limits_(limits),
      circumstances_(std::move(circumstances)),
      steps_left_(limits.steps),
      deadline_(std::chrono::steady_clock::now() +
                std::chrono::duration_cast<std::chrono::steady_clock::duration>(
                    std::chrono::duration<double>(limits.seconds_max))) {
  meter_.limit = limits.memory_bytes;
}

Runtime::~Runtime() {
  for (const auto& object : namespaces_) object->attributes.clear();
}

void Runtime::allow_for_input(size_t bytes) {
  steps_left_ += bytes * limits_.steps_per_byte;
  meter_.limit += bytes * limits_.memory_per_byte;
}

void Runtime::fail(const char* format, ...) const {
  va_list arguments;
  va_start(arguments, format);
  const std::string text = base::vstrf(format, arguments);
  va_end(arguments);
  raise(base::strf("%s, line %d: %s", name_.c_str(), line,
                   base::printable(text, kMessageBytesMax).c_str()));
}

void Runtime::raise(const std::string& message) const {
  const base::Error error(ErrorKind::bad_input, message);
  throw circumstances_.place.empty() ? error : error.in(circumstances_.place);
}

std::tm Runtime::now() const {
  const std::time_t time = circumstances_.clock.value_or(std::time(nullptr));
  std::tm parts{};
  if (circumstances_.clock) {
    gmtime_r(&time, &parts);
  } else {
    localtime_r(&time, &parts);
  }
  return parts;
}

void Runtime::fail_undefined(const Value& value) const {
  fail("%s", value.undefined_message().c_str());
}

void Runtime::step(size_t count) {
  if (count > steps_left_) {
    fail("the template runs too long (more than %zu steps for this input)", limits_.steps);
  }
  steps_left_ -= count;
  steps_to_clock_ += count;
  if (steps_to_clock_ < kStepsPerClockRead) return;
  steps_to_clock_ = 0;
  if (std::chrono::steady_clock::now() > deadline_) {
    fail("the template runs too long (more than %.0f seconds)", limits_.seconds_max);
  }
}

void Runtime::check_bytes(size_t bytes) const {
  if (bytes > meter_.limit || meter_.live > meter_.limit - bytes) {
    fail("the template needs too much memory (more than %s for this input)",
         base::both_units(meter_.limit).c_str());
  }
}

void Runtime::hold(size_t bytes) {
  check_bytes(bytes);
  meter_.live += bytes;
}

Value Runtime::string(std::string text) { return string(MarkedText(std::move(text))); }

Value Runtime::string(MarkedText text) {
  const size_t bytes = text_bytes(text);
  check_bytes(bytes);
  step_bytes(text.text.size());
  return Value(Value::Variant(
      std::make_shared<const StringObject>(StringObject{std::move(text), Charge(meter_, bytes)})));
}

Value Runtime::string_like(const MarkedText& origin, std::string text) {
  return string(MarkedText(std::move(text), origin.has_input()));
}

int Runtime::checked_depth(int inner) const {
  if (inner >= limits_.value_depth_max) {
    fail("values are nested deeper than %d levels", limits_.value_depth_max);
  }
  return inner + 1;
}

Value Runtime::sequence(ValueList items, bool is_tuple) {
  const size_t bytes = kObjectBytes + items.size() * sizeof(Value);
  check_bytes(bytes);
  step(items.size());
  int inner = 0;
  for (const Value& item : items) inner = std::max(inner, item.depth());
  return Value(Value::Variant(std::make_shared<const ListObject>(
      ListObject{std::move(items), is_tuple, checked_depth(inner), Charge(meter_, bytes)})));
}

Value Runtime::dict(DictEntries entries) {
  const size_t bytes = kObjectBytes + entries.size() * sizeof(DictEntries::value_type);
  check_bytes(bytes);
  step(entries.size());
  int inner = 0;
  for (const auto& [key, value] : entries) {
    inner = std::max({inner, key.depth(), value.depth()});
  }
  return Value(Value::Variant(std::make_shared<const DictObject>(
      DictObject{std::move(entries), checked_depth(inner), Charge(meter_, bytes)})));
}

Value Runtime::make_namespace(std::vector<std::pair<std::string, Value>> attributes) {
  check_bytes(kObjectBytes);
  auto object = std::make_shared<NamespaceObject>();
  object->charges.emplace_back(meter_, kObjectBytes);
  namespaces_.push_back(object);
  for (auto& [name, value] : attributes) set_attribute(*object, name, std::move(value));
  return Value(Value::Variant(std::move(object)));
}

void Runtime::set_attribute(NamespaceObject& object, const std::string& name, Value value) {
  step(object.attributes.size() / 8);
  for (auto& [key, old] : object.attributes) {
    if (key == name) {
      old = std::move(value);
      return;
    }
  }
  check_bytes(kObjectBytes);
  object.attributes.emplace_back(name, std::move(value));
  object.charges.emplace_back(meter_, kObjectBytes);
}

Value Runtime::method(const char* name, const Value& self, CallableObject::Function function) {
  checked_depth(self.depth());
  auto object = std::make_shared<CallableObject>();
  object->name = name;
  object->self = self;
  object->function = function;
  return Value(Value::Variant(std::shared_ptr<const CallableObject>(std::move(object))));
}

ValueList Runtime::iterate(const Value& value) {
  if (value.is_undefined()) return {};
  ValueList out;
  if (const ListObject* object = value.list()) {
    check_bytes(object->items.size() * sizeof(Value));
    step(object->items.size());
    return object->items;
  }
  if (const DictObject* object = value.dict()) {
    step(object->entries.size());
    for (const auto& entry : object->entries) out.push_back(entry.first);
    return out;
  }
  if (const MarkedText* text = value.string()) {
    for (size_t at = 0; at < text->text.size();) {
      const size_t bytes = code_point_at(text->text, at).bytes;
      step();
      out.push_back(string(text->part(at, at + bytes)));
      at += bytes;
    }
    return out;
  }
  fail("'%s' object is not iterable", value.type_name());
}

void TextBuilder::append(std::string_view ours) {
  runtime_.hold(ours.size());
  held_ += ours.size();
  runtime_.step_bytes(ours.size());
  text_.append(ours);
}

void TextBuilder::append(const MarkedText& other, size_t begin, size_t end) {
  end = std::min(end, other.text.size());
  if (begin >= end) return;
  // Marks of the part are at most one per two bytes; charging those it has keeps the order.
  const size_t bytes = end - begin + (other.has_input() ? sizeof(TextSpan) : 0);
  runtime_.hold(bytes);
  held_ += bytes;
  runtime_.step_bytes(end - begin);
  text_.append(other, begin, end);
}

MarkedText TextBuilder::take() {
  runtime_.give_back(held_);
  held_ = 0;
  return std::move(text_);
}

std::vector<std::optional<Value>> bind(Runtime& runtime, std::string_view callee,
                                       Arguments& arguments,
                                       std::initializer_list<const char*> names, size_t required) {
  const std::string name(callee);
  if (arguments.positional.size() > names.size()) {
    runtime.fail("%s takes at most %zu arguments, %zu are given", name.c_str(), names.size(),
                 arguments.positional.size());
  }
  std::vector<std::optional<Value>> out(names.size());
  for (size_t i = 0; i < arguments.positional.size(); ++i) {
    out[i] = std::move(arguments.positional[i]);
  }
  for (auto& [key, value] : arguments.named) {
    const auto at = std::find(names.begin(), names.end(), key);
    if (at == names.end()) {
      runtime.fail("%s has no parameter '%s'", name.c_str(), key.c_str());
    }
    auto& slot = out[static_cast<size_t>(at - names.begin())];
    if (slot) runtime.fail("%s got '%s' twice", name.c_str(), key.c_str());
    slot = std::move(value);
  }
  for (size_t i = 0; i < required; ++i) {
    if (!out[i]) runtime.fail("%s needs an argument '%s'", name.c_str(), names.begin()[i]);
  }
  return out;
}

const MarkedText& expect_string(Runtime& runtime, const Value& value, const char* what) {
  if (value.is_undefined()) runtime.fail_undefined(value);
  const MarkedText* text = value.string();
  if (text == nullptr) runtime.fail("%s must be a string, not %s", what, value.type_name());
  return *text;
}

Integer expect_integer(Runtime& runtime, const Value& value, const char* what) {
  if (value.is_undefined()) runtime.fail_undefined(value);
  if (const bool* flag = value.get<bool>()) return *flag ? 1 : 0;
  const Integer* number = value.get<Integer>();
  if (number == nullptr) runtime.fail("%s must be an integer, not %s", what, value.type_name());
  return *number;
}

int64_t expect_int64(Runtime& runtime, const Value& value, const char* what) {
  const Integer number = expect_integer(runtime, value, what);
  if (number > INT64_MAX || number < INT64_MIN) runtime.fail("%s is too large", what);
  return static_cast<int64_t>(number);
}

}  // namespace karat::text
