// The values of the template interpreter: what Python's would be, as far as templates can tell.
// Strings, lists and dicts are immutable and shared; only namespaces change. Everything on the heap
// is charged to a Meter, so that a template cannot use more memory than it was given.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "text/marked_text.h"

namespace karat::text {

// Python's int, here of at most 64 bits and a sign (the range of JSON integers karat reads).
__extension__ typedef __int128 Integer;
inline constexpr Integer kIntegerMax = static_cast<Integer>(UINT64_MAX);

// Bytes in use, and how many may be.
struct Meter {
  size_t live = 0, limit = SIZE_MAX;
};

// A share of a Meter, given back on destruction. The Meter must outlive it.
class Charge {
 public:
  Charge() = default;
  Charge(Meter& meter, size_t bytes) : meter_(&meter), bytes_(bytes) { meter.live += bytes; }
  Charge(Charge&& other) noexcept
      : meter_(std::exchange(other.meter_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
  Charge& operator=(Charge&& other) noexcept {
    std::swap(meter_, other.meter_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~Charge() {
    if (meter_ != nullptr) meter_->live -= bytes_;
  }

 private:
  Meter* meter_ = nullptr;
  size_t bytes_ = 0;
};

class Value;
struct StringObject;
struct ListObject;
struct DictObject;
struct NamespaceObject;
struct CallableObject;
struct LoopObject;

class Value {
 public:
  // jinja2's default Undefined: prints as nothing, is false and empty, and anything else done with
  // it is an error that says `message` ("'x' is undefined").
  struct Undefined {
    std::shared_ptr<const std::string> message;
  };
  struct None {};
  using Variant =
      std::variant<Undefined, None, bool, Integer, double, std::shared_ptr<const StringObject>,
                   std::shared_ptr<const ListObject>, std::shared_ptr<const DictObject>,
                   std::shared_ptr<NamespaceObject>, std::shared_ptr<const CallableObject>,
                   std::shared_ptr<LoopObject>>;

  Value() = default;
  Value(Variant variant) : variant_(std::move(variant)) {}
  static Value none() { return Value(Variant(None{})); }
  static Value boolean(bool value) { return Value(Variant(value)); }
  static Value integer(Integer value) { return Value(Variant(value)); }
  static Value integer(size_t value) { return Value(Variant(static_cast<Integer>(value))); }
  static Value real(double value) { return Value(Variant(value)); }
  static Value undefined(std::string message);

  template <class T>
  const T* get() const {
    return std::get_if<T>(&variant_);
  }
  bool is_undefined() const { return get<Undefined>() != nullptr; }
  bool is_none() const { return get<None>() != nullptr; }
  bool is_boolean() const { return get<bool>() != nullptr; }
  bool is_integer() const { return get<Integer>() != nullptr; }
  bool is_real() const { return get<double>() != nullptr; }
  bool is_number() const { return is_boolean() || is_integer() || is_real(); }
  bool is_string() const { return string() != nullptr; }
  // The object behind, or null if the value is of another type.
  const MarkedText* string() const;
  const ListObject* list() const;  // lists and tuples
  const DictObject* dict() const;
  NamespaceObject* namespace_object() const;
  const CallableObject* callable() const;
  LoopObject* loop() const;

  // Python's bool(), and the type's name for messages ("str", "dict", ...).
  bool truth() const;
  const char* type_name() const;
  // How deep containers are nested in this value; scalars are 0.
  int depth() const;
  const std::string& undefined_message() const;

 private:
  Variant variant_;
};

using ValueList = std::vector<Value>;
using DictEntries = std::vector<std::pair<Value, Value>>;

struct StringObject {
  MarkedText text;
  Charge charge;
};

struct ListObject {
  ValueList items;
  bool is_tuple = false;
  int depth = 1;
  Charge charge;
};

struct DictObject {
  DictEntries entries;  // keys distinct, in order of insertion
  int depth = 1;
  Charge charge;
};

// The only mutable value; {% set ns.name = value %}.
struct NamespaceObject {
  std::vector<std::pair<std::string, Value>> attributes;
  std::vector<Charge> charges;
  const Value* find(std::string_view name) const;
};

// The state of a for loop, the variable `loop` inside it.
struct LoopObject {
  Value items;  // a list, released when the loop ends
  size_t count = 0, index = 0;
  ValueList changed;  // the arguments of the last loop.changed()
  bool changed_called = false;
};

// Arguments of a call.
struct Arguments {
  ValueList positional;
  std::vector<std::pair<std::string, Value>> named;
};

class Runtime;
struct Statement;
struct Scope;

// Something that can be called: a function of ours, a method bound to its receiver, or a macro.
struct CallableObject {
  using Function = Value (*)(Runtime& runtime, const Value& self, Arguments& arguments);
  std::string name;
  Function function = nullptr;
  Value self;
  // A macro or call block: its statement, and where names it does not define are looked up.
  const Statement* macro = nullptr;
  std::weak_ptr<Scope> scope;
};

}  // namespace karat::text
