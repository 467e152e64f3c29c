// What every part of the interpreter shares while a template runs: limits, the line being executed,
// and the makers of values (each charged before it exists).
#pragma once

#include <chrono>
#include <cstdint>
#include <ctime>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/jinja_value.h"

namespace karat::text {

// What a template may use. The *_per_byte parts grow with the variables given to it, so that long
// conversations are rendered and a hostile template over a short one ends within 100 ms and 16 MiB.
struct JinjaLimits {
  size_t tokens_max = 30000;  // of the template's source
  int nesting_max = 100;      // of brackets, operators and blocks in the source
  int depth_max = 500;        // of nested evaluation, calls included
  int value_depth_max = 100;  // of containers in containers
  size_t steps = 300000, steps_per_byte = 32;
  size_t memory_bytes = 2 << 20, memory_per_byte = 32;  // values and output
  double seconds_max = 10;
};

// What a template's results and errors depend on beside its variables.
struct JinjaCircumstances {
  std::string place;             // of the input, "chats.jsonl:3"; stands before every error
  std::optional<int64_t> clock;  // what strftime_now tells, in seconds of Unix time and in UTC;
                                 // absent: the local time
};

class Runtime {
 public:
  // `name`: how the template is called in messages.
  Runtime(std::string name, const JinjaLimits& limits, JinjaCircumstances circumstances = {});
  ~Runtime();
  Runtime(const Runtime&) = delete;
  Runtime& operator=(const Runtime&) = delete;

  // Raises the limits for `bytes` of input.
  void allow_for_input(size_t bytes);

  // Throws Error{bad_input} "NAME, line N: ...".
  [[noreturn, gnu::format(printf, 2, 3)]] void fail(const char* format, ...) const;
  // Throws Error{bad_input} with the template's own words.
  [[noreturn]] void raise(const std::string& message) const;
  // The time as strftime_now tells it.
  std::tm now() const;
  // The error of using an undefined value.
  [[noreturn]] void fail_undefined(const Value& value) const;

  // Counts work done; about one unit per node evaluated, item visited or 32 bytes of text handled.
  void step(size_t count = 1);
  void step_bytes(size_t bytes) { step(bytes / 32); }
  // Refuses to make something of that size if it does not fit in what is left.
  void check_bytes(size_t bytes) const;
  // Memory in use outside of values; give back what was held.
  void hold(size_t bytes);
  void give_back(size_t bytes) { meter_.live -= bytes; }

  Value string(std::string text);  // not from input
  Value string(MarkedText text);
  Value list(ValueList items) { return sequence(std::move(items), false); }
  Value tuple(ValueList items) { return sequence(std::move(items), true); }
  Value dict(DictEntries entries);  // keys must be distinct
  Value make_namespace(std::vector<std::pair<std::string, Value>> attributes);
  void set_attribute(NamespaceObject& object, const std::string& name, Value value);
  Value method(const char* name, const Value& self, CallableObject::Function function);
  // A string made from others by a function that does not track marks: wholly input if any was.
  Value string_like(const MarkedText& origin, std::string text);

  // Items of a list, keys of a dict, characters of a string; undefined has none, others fail.
  ValueList iterate(const Value& value);

  int line = 0;
  int depth = 0;  // nesting of evaluations in progress
  const JinjaLimits& limits() const { return limits_; }

 private:
  Value sequence(ValueList items, bool is_tuple);
  int checked_depth(int depth) const;

  std::string name_;
  JinjaLimits limits_;
  JinjaCircumstances circumstances_;
  Meter meter_;
  size_t steps_left_;
  std::chrono::steady_clock::time_point deadline_;
  size_t steps_to_clock_ = 0;
  // All namespaces made: they can form cycles, which are cut when the run ends.
  std::vector<std::shared_ptr<NamespaceObject>> namespaces_;
};

// Text being put together, never larger than the runtime allows.
class TextBuilder {
 public:
  explicit TextBuilder(Runtime& runtime) : runtime_(runtime) {}
  ~TextBuilder() { runtime_.give_back(held_); }
  TextBuilder(const TextBuilder&) = delete;
  TextBuilder& operator=(const TextBuilder&) = delete;
  void append(std::string_view ours);
  void append(const MarkedText& other, size_t begin = 0, size_t end = std::string::npos);
  size_t size() const { return text_.text.size(); }
  // The text; the builder is empty afterwards.
  MarkedText take();

 private:
  Runtime& runtime_;
  MarkedText text_;
  size_t held_ = 0;
};

// Arguments sorted into the parameters `names`; absent ones are empty. Fails, naming `callee`, for
// unknown, doubled, surplus or (of the first `required`) missing arguments.
std::vector<std::optional<Value>> bind(Runtime& runtime, std::string_view callee,
                                       Arguments& arguments,
                                       std::initializer_list<const char*> names, size_t required);

// Casts with Python's refusals.
const MarkedText& expect_string(Runtime& runtime, const Value& value, const char* what);
Integer expect_integer(Runtime& runtime, const Value& value, const char* what);
// The same within int64_t's range.
int64_t expect_int64(Runtime& runtime, const Value& value, const char* what);

}  // namespace karat::text
