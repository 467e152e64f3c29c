// Values as text: Python's str and repr, JSON in and out, printf-style and brace formatting.
#pragma once

#include "base/json.h"
#include "text/jinja_runtime.h"

namespace karat::text {

// Appends str(value): what {{ value }} prints. Inside containers that is repr.
void print(const Value& value, Runtime& runtime, TextBuilder& out);
// str(value); a string is returned as it is.
Value to_string(Runtime& runtime, const Value& value);
// 128-bit decimal.
std::string decimal(Integer value);

// Python's json.dumps. The separators default to ", " and ": " (with an indent "," and ": ").
struct JsonStyle {
  std::optional<std::string> indent;  // one level's white space
  std::string item_separator = ", ", key_separator = ": ";
  bool sort_keys = false, ensure_ascii = false;
};
Value to_json(Runtime& runtime, const Value& value, const JsonStyle& style);

// JSON as a value; `from_input` marks all its strings. Counts the bytes that it takes.
Value from_json(Runtime& runtime, const base::Json& json, bool from_input);
// What a JSON value counts for in the limits: its text and a share per element.
size_t json_bytes(const base::Json& json);

// "..." % value: %s %r %d %i %u %f %e %g %x %X %o %c %% with flags, width and precision.
Value format_percent(Runtime& runtime, const Value& format, const Value& value);
// str.format with {}, {0}, {name}, {{ and }}; format specifications are refused.
Value format_braces(Runtime& runtime, const MarkedText& format, const Arguments& arguments);

}  // namespace karat::text
