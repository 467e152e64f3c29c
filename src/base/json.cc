#include "base/json.h"

#include <array>
#include <charconv>
#include <cmath>
#include <iterator>
#include <nlohmann/json.hpp>
#include <unordered_set>

#include "base/error.h"
#include "base/text.h"

namespace karat::base {

namespace {

Error wrong_type(const char* expected) {
  return fail(ErrorKind::bad_input, "%s expected", expected);
}

// An iterator over the text that leaves word of how far the parser has read: its events carry no
// position.
class Cursor {
 public:
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  Cursor(const char* at, const char** furthest) : at_(at), furthest_(furthest) {}
  reference operator*() const { return *at_; }
  Cursor& operator++() {
    *furthest_ = ++at_;
    return *this;
  }
  friend bool operator==(const Cursor& a, const Cursor& b) { return a.at_ == b.at_; }

 private:
  const char* at_;
  const char** furthest_;
};

Error named(const JsonLimits& limits, const std::string& message) {
  const Error error(ErrorKind::bad_input, message);
  return limits.name.empty() ? error : error.in(limits.name);
}

// Builds a Json bottom-up from nlohmann's events and refuses what a lenient reader would accept.
class Builder : public nlohmann::json_sax<nlohmann::json> {
 public:
  Builder(std::string_view text, const JsonLimits& limits)
      : limits_(limits), text_(text), furthest_(text.data()) {}

  const char** furthest() { return &furthest_; }

  bool null() override { return add(Json()); }
  bool boolean(bool value) override { return add(Json(value)); }
  bool number_integer(number_integer_t value) override { return add(Json(int64_t{value})); }
  bool number_unsigned(number_unsigned_t value) override {
    if (value <= static_cast<uint64_t>(INT64_MAX)) return add(Json(static_cast<int64_t>(value)));
    return add(Json(uint64_t{value}));
  }
  bool number_float(number_float_t value, const string_t&) override { return add(Json(value)); }
  bool string(string_t& value) override { return add(Json(std::move(value))); }
  bool binary(binary_t&) override { return refuse("binary value"); }
  bool start_object(size_t) override { return open(Json::object()); }
  bool start_array(size_t) override { return open(Json::array()); }
  bool end_array() override { return close(); }
  bool end_object() override { return close(); }

  bool key(string_t& value) override {
    Level& level = stack_.back();
    if (!level.keys.insert(value).second) {
      return refuse("duplicate key '" + printable(value) + "'");
    }
    level.key = std::move(value);
    return true;
  }

  bool parse_error(size_t, const std::string&, const nlohmann::detail::exception& error) override {
    if (!message_.empty()) return false;
    if (error.id == kNumberOutOfRange) return refuse("number out of range");
    return refuse(starts_utf8() ? "not valid JSON" : "not valid UTF-8");
  }

  bool failed() const { return !message_.empty(); }
  Json take() {
    if (!failed()) return std::move(root_);
    throw named(limits_, message_);
  }

 private:
  struct Level {
    Json value;
    std::string key;
    std::unordered_set<std::string> keys;
  };

  static constexpr int kNumberOutOfRange = 406;  // nlohmann's name for it

  bool refuse(const std::string& message) {
    // The parser has read one byte past what it complains of, unless the text ends there.
    const size_t read = static_cast<size_t>(furthest_ - text_.data());
    message_ = strf("at byte %zu: %s", read > 0 ? read - 1 : 0, message.c_str());
    return false;
  }

  // Whether what has been read, to the end of the character it ends in, is UTF-8.
  bool starts_utf8() const {
    size_t read = static_cast<size_t>(furthest_ - text_.data());
    while (read < text_.size() && (text_[read] & 0xC0) == 0x80) ++read;
    return is_utf8(text_.substr(0, read));
  }

  bool open(Json container) {
    if (static_cast<int>(stack_.size()) >= limits_.depth_max) {
      return refuse(strf("JSON nested deeper than %d levels", limits_.depth_max));
    }
    stack_.push_back({std::move(container), {}, {}});
    return true;
  }

  bool close() {
    Json value = std::move(stack_.back().value);
    stack_.pop_back();
    return add(std::move(value));
  }

  bool add(Json value) {
    if (++values_ > limits_.values_max) {
      return refuse(strf("JSON with more than %zu values", limits_.values_max));
    }
    if (stack_.empty()) {
      root_ = std::move(value);
    } else if (stack_.back().value.is_array()) {
      stack_.back().value.as_array().push_back(std::move(value));
    } else {
      stack_.back().value.as_object().emplace_back(std::move(stack_.back().key), std::move(value));
    }
    return true;
  }

  JsonLimits limits_;
  size_t values_ = 0;
  std::string_view text_;
  const char* furthest_;
  Json root_;
  std::vector<Level> stack_;
  std::string message_;
};

void dump_string(const std::string& text, std::string& out) {
  // nlohmann's replace handler gives valid UTF-8 whatever the bytes.
  out += nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

void dump_value(const Json& value, int indent, int level, std::string& out);

template <class Items, class Print>
void dump_items(const Items& items, char open, char close, int indent, int level, std::string& out,
                Print print) {
  out += open;
  bool first = true;
  for (const auto& item : items) {
    if (!first) out += indent < 0 ? ", " : ",";
    first = false;
    if (indent >= 0) out += "\n" + std::string(static_cast<size_t>(indent * (level + 1)), ' ');
    print(item);
  }
  if (indent >= 0 && !first) out += "\n" + std::string(static_cast<size_t>(indent * level), ' ');
  out += close;
}

// Python's repr: the shortest digits that read back the same, as 1.5, 1e-05 or 1e+16.
void dump_number(double number, std::string& out) {
  if (!std::isfinite(number)) {
    out += "null";
    return;
  }
  const double magnitude = std::abs(number);
  const bool plain = magnitude == 0 || (magnitude >= 1e-4 && magnitude < 1e16);
  std::array<char, 32> text{};
  const auto result =
      std::to_chars(text.data(), text.data() + text.size(), number,
                    plain ? std::chars_format::fixed : std::chars_format::scientific);
  const std::string_view digits(text.data(), static_cast<size_t>(result.ptr - text.data()));
  out += digits;
  if (plain && digits.find('.') == std::string_view::npos) out += ".0";
}

void dump_value(const Json& value, int indent, int level, std::string& out) {
  if (value.is_null()) {
    out += "null";
  } else if (value.is_bool()) {
    out += value.as_bool() ? "true" : "false";
  } else if (value.is_string()) {
    dump_string(value.as_string(), out);
  } else if (value.is_array()) {
    dump_items(value.as_array(), '[', ']', indent, level, out,
               [&](const Json& item) { dump_value(item, indent, level + 1, out); });
  } else if (value.is_object()) {
    dump_items(value.as_object(), '{', '}', indent, level, out, [&](const Json::Member& member) {
      dump_string(member.first, out);
      out += ": ";
      dump_value(member.second, indent, level + 1, out);
    });
  } else if (value.is_integer()) {
    out += value.as_double() < 0 ? std::to_string(value.as_int()) : std::to_string(value.as_uint());
  } else {
    dump_number(value.as_double(), out);
  }
}

}  // namespace

bool Json::as_bool() const {
  if (const bool* value = std::get_if<bool>(&value_)) return *value;
  throw wrong_type("true or false");
}

int64_t Json::as_int() const {
  if (const int64_t* value = std::get_if<int64_t>(&value_)) return *value;
  throw wrong_type("an integer");
}

uint64_t Json::as_uint() const {
  if (const uint64_t* value = std::get_if<uint64_t>(&value_)) return *value;
  if (const int64_t* value = std::get_if<int64_t>(&value_); value && *value >= 0) {
    return static_cast<uint64_t>(*value);
  }
  throw wrong_type("a non-negative integer");
}

double Json::as_double() const {
  if (const double* value = std::get_if<double>(&value_)) return *value;
  if (const int64_t* value = std::get_if<int64_t>(&value_)) return static_cast<double>(*value);
  if (const uint64_t* value = std::get_if<uint64_t>(&value_)) return static_cast<double>(*value);
  throw wrong_type("a number");
}

const std::string& Json::as_string() const {
  if (const std::string* value = std::get_if<std::string>(&value_)) return *value;
  throw wrong_type("a string");
}

const Json::Array& Json::as_array() const {
  if (const Array* value = std::get_if<Array>(&value_)) return *value;
  throw wrong_type("an array");
}

const Json::Object& Json::as_object() const {
  if (const Object* value = std::get_if<Object>(&value_)) return *value;
  throw wrong_type("an object");
}

Json::Array& Json::as_array() {
  if (Array* value = std::get_if<Array>(&value_)) return *value;
  throw wrong_type("an array");
}

Json::Object& Json::as_object() {
  if (Object* value = std::get_if<Object>(&value_)) return *value;
  throw wrong_type("an object");
}

const Json* Json::find(std::string_view key) const {
  const Object* members = std::get_if<Object>(&value_);
  if (members == nullptr) return nullptr;
  for (const Member& member : *members) {
    if (member.first == key) return &member.second;
  }
  return nullptr;
}

const Json& Json::at(std::string_view key) const {
  as_object();
  const Json* value = find(key);
  if (value == nullptr) {
    throw fail(ErrorKind::bad_input, "key '%s' is missing", printable(key).c_str());
  }
  return *value;
}

Json& Json::set(std::string key, Json value) {
  if (is_null()) value_ = Object{};
  for (Member& member : as_object()) {
    if (member.first == key) return member.second = std::move(value);
  }
  as_object().emplace_back(std::move(key), std::move(value));
  return as_object().back().second;
}

void Json::push(Json value) {
  if (is_null()) value_ = Array{};
  as_array().push_back(std::move(value));
}

std::string Json::dump(int indent) const {
  std::string out;
  dump_value(*this, indent, 0, out);
  return out;
}

namespace {

void run_parser(std::string_view text, Builder& builder) {
  nlohmann::json::sax_parse(Cursor(text.data(), builder.furthest()),
                            Cursor(text.data() + text.size(), builder.furthest()), &builder);
}

}  // namespace

Json parse_json(std::string_view text, const JsonLimits& limits) {
  // The parser takes a zero byte for the end and skips a byte order mark; neither is JSON.
  const size_t zero = text.find('\0');
  if (zero != std::string_view::npos) {
    throw named(limits, strf("at byte %zu: zero byte in JSON", zero));
  }
  if (starts_with(text, "\xEF\xBB\xBF")) {
    throw named(limits, "at byte 0: byte order mark in JSON; remove it");
  }
  Builder builder(text, limits);
  run_parser(text, builder);
  return builder.take();
}

std::optional<Json> try_parse_json(std::string_view text, const JsonLimits& limits) {
  if (text.find('\0') != std::string_view::npos || starts_with(text, "\xEF\xBB\xBF")) {
    return std::nullopt;
  }
  Builder builder(text, limits);
  run_parser(text, builder);
  if (builder.failed()) return std::nullopt;
  return builder.take();
}

}  // namespace karat::base
