// The functions every template sees: jinja2's range, dict and namespace, and transformers'
// raise_exception and strftime_now.
#include <algorithm>
#include <array>
#include <ctime>

#include "base/error.h"
#include "base/text.h"
#include "text/jinja_builtins.h"
#include "text/jinja_operators.h"

namespace karat::text {

namespace {

// The sandbox of jinja2 refuses longer ranges too.
constexpr Integer kRangeMax = 100000;
constexpr size_t kMessageBytesMax = 4000;
constexpr size_t kTimeFormatBytesMax = 200;

Value range(Runtime& runtime, const Value&, Arguments& arguments) {
  const auto values = bind(runtime, "range", arguments, {"start", "stop", "step"}, 1);
  Integer start = 0, stop = expect_integer(runtime, *values[0], "range's argument"), step = 1;
  if (values[1]) {
    start = stop;
    stop = expect_integer(runtime, *values[1], "range's end");
  }
  if (values[2]) step = expect_integer(runtime, *values[2], "range's step");
  if (step == 0) runtime.fail("range's step cannot be zero");
  const Integer span = step > 0 ? stop - start : start - stop;
  const Integer count = span <= 0 ? 0 : (span - 1) / (step > 0 ? step : -step) + 1;
  if (count > kRangeMax) runtime.fail("a range of more than %d numbers", int{kRangeMax});
  runtime.check_bytes(static_cast<size_t>(count) * sizeof(Value));
  ValueList items;
  for (Integer i = 0; i < count; ++i) items.push_back(Value::integer(start + i * step));
  return runtime.list(std::move(items));
}

// Entries of the arguments: an optional mapping or list of pairs, then the named ones.
DictEntries entries_of(Runtime& runtime, Arguments& arguments, const char* what) {
  DictEntries out;
  if (arguments.positional.size() > 1) runtime.fail("%s takes one mapping", what);
  if (!arguments.positional.empty()) {
    const Value& source = arguments.positional[0];
    if (const DictObject* dict = source.dict()) {
      runtime.step(dict->entries.size());
      out = dict->entries;
    } else {
      for (const Value& pair : runtime.iterate(source)) {
        ValueList both = runtime.iterate(pair);
        if (both.size() != 2) runtime.fail("%s needs pairs", what);
        set_entry(runtime, out, std::move(both[0]), std::move(both[1]));
      }
    }
  }
  for (auto& [name, value] : arguments.named) {
    set_entry(runtime, out, runtime.string(name), std::move(value));
  }
  return out;
}

Value make_dict(Runtime& runtime, const Value&, Arguments& arguments) {
  return runtime.dict(entries_of(runtime, arguments, "dict"));
}

Value make_namespace(Runtime& runtime, const Value&, Arguments& arguments) {
  std::vector<std::pair<std::string, Value>> attributes;
  for (auto& [key, value] : entries_of(runtime, arguments, "namespace")) {
    attributes.emplace_back(expect_string(runtime, key, "an attribute's name").text,
                            std::move(value));
  }
  return runtime.make_namespace(std::move(attributes));
}

Value raise_exception(Runtime& runtime, const Value&, Arguments& arguments) {
  const auto values = bind(runtime, "raise_exception", arguments, {"message"}, 1);
  const std::string& message = expect_string(runtime, *values[0], "the message").text;
  runtime.raise(base::printable(message, kMessageBytesMax));
}

Value strftime_now(Runtime& runtime, const Value&, Arguments& arguments) {
  const auto values = bind(runtime, "strftime_now", arguments, {"format"}, 1);
  const std::string& format = expect_string(runtime, *values[0], "the format").text;
  if (format.size() > kTimeFormatBytesMax) runtime.fail("strftime_now: the format is too long");
  const std::tm now = runtime.now();
  std::array<char, 8192> text{};
  return runtime.string(
      std::string(text.data(), std::strftime(text.data(), text.size(), format.c_str(), &now)));
}

}  // namespace

const NamedFunctions<CallableObject::Function>& global_functions() {
  static const NamedFunctions<CallableObject::Function> table = {
      {"range", range},
      {"dict", make_dict},
      {"namespace", make_namespace},
      {"raise_exception", raise_exception},
      {"strftime_now", strftime_now},
  };
  return table;
}

}  // namespace karat::text
