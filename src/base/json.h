// JSON as plain values, read strictly: depth at most 64, no duplicate keys, valid UTF-8. Objects
// keep their order (chat templates print tools in the order given). The parser is nlohmann-json,
// wrapped here and nowhere else.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace karat::base {

class Json {
 public:
  using Array = std::vector<Json>;
  using Member = std::pair<std::string, Json>;
  using Object = std::vector<Member>;  // in the order of the text

  Json() = default;
  Json(std::nullptr_t) {}
  Json(bool value) : value_(value) {}
  Json(int value) : value_(static_cast<int64_t>(value)) {}
  Json(int64_t value) : value_(value) {}
  Json(uint64_t value) : value_(value) {}
  Json(double value) : value_(value) {}
  Json(const char* value) : value_(std::string(value)) {}
  Json(std::string value) : value_(std::move(value)) {}
  Json(std::string_view value) : value_(std::string(value)) {}
  Json(Array value) : value_(std::move(value)) {}
  Json(Object value) : value_(std::move(value)) {}

  static Json object() { return Json(Object{}); }
  static Json array() { return Json(Array{}); }

  bool is_null() const { return std::holds_alternative<std::monostate>(value_); }
  bool is_bool() const { return std::holds_alternative<bool>(value_); }
  // An integer: any number written without fraction and exponent that fits 64 bits.
  bool is_integer() const {
    return std::holds_alternative<int64_t>(value_) || std::holds_alternative<uint64_t>(value_);
  }
  bool is_number() const { return is_integer() || std::holds_alternative<double>(value_); }
  bool is_string() const { return std::holds_alternative<std::string>(value_); }
  bool is_array() const { return std::holds_alternative<Array>(value_); }
  bool is_object() const { return std::holds_alternative<Object>(value_); }

  // The as_* calls throw Error{bad_input} naming the expected type if the value has another one;
  // callers add where it stands. as_int also if the number does not fit.
  bool as_bool() const;
  int64_t as_int() const;
  uint64_t as_uint() const;
  double as_double() const;  // integers too
  const std::string& as_string() const;
  const Array& as_array() const;
  const Object& as_object() const;
  Array& as_array();
  Object& as_object();

  // Member of an object by a linear search, or null. For large objects iterate as_object().
  const Json* find(std::string_view key) const;
  // Member of an object; Error{bad_input} "key 'x' is missing" if absent.
  const Json& at(std::string_view key) const;
  // Sets or appends a member. The value must be an object (or null, which becomes one).
  Json& set(std::string key, Json value);
  void push(Json value);

  // One line ({"a": 1, "b": [..]}, Python's json.dumps with ensure_ascii off) if indent < 0, else
  // indented by that many blanks. Malformed UTF-8 is written as U+FFFD; NaN and infinities as null.
  std::string dump(int indent = -1) const;

  friend bool operator==(const Json&, const Json&) = default;

 private:
  std::variant<std::monostate, bool, int64_t, uint64_t, double, std::string, Array, Object> value_;
};

struct JsonLimits {
  int depth_max = 64;
  size_t values_max = size_t{1} << 26;
  std::string name = {};  // of the file, in front of messages
};

// Throws Error{bad_input} with the byte offset ("NAME: at byte 17: not valid JSON"); trailing bytes
// are an error.
Json parse_json(std::string_view text, const JsonLimits& limits = {});
// The same for text that may well be no JSON: nothing instead of an error.
std::optional<Json> try_parse_json(std::string_view text, const JsonLimits& limits = {});

}  // namespace karat::base
