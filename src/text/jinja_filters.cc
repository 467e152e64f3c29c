// Filters that work on one value; the ones on sequences are in jinja_list_filters.cc.
#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/text.h"
#include "text/jinja_builtins.h"
#include "text/jinja_operators.h"
#include "text/jinja_print.h"
#include "text/python_text.h"

namespace karat::text {

namespace {

Value default_value(Runtime& runtime, const Value& value, Arguments& arguments) {
  const auto values = bind(runtime, "default", arguments, {"default_value", "boolean"}, 0);
  const bool falsy_too = values[1] && values[1]->truth();
  if (!value.is_undefined() && (!falsy_too || value.truth())) return value;
  return values[0] ? *values[0] : runtime.string(std::string());
}

Value length(Runtime& runtime, const Value& value, Arguments& arguments) {
  bind(runtime, "length", arguments, {}, 0);
  if (value.is_undefined()) return Value::integer(Integer{0});
  if (const MarkedText* text = value.string()) {
    runtime.step_bytes(text->text.size());
    return Value::integer(count_code_points(text->text));
  }
  if (const ListObject* list = value.list()) return Value::integer(list->items.size());
  if (const DictObject* dict = value.dict()) return Value::integer(dict->entries.size());
  runtime.fail("object of type '%s' has no length", value.type_name());
}

Value absolute(Runtime& runtime, const Value& value, Arguments& arguments) {
  bind(runtime, "abs", arguments, {}, 0);
  if (value.is_undefined()) runtime.fail_undefined(value);
  if (!value.is_number()) runtime.fail("abs needs a number, not %s", value.type_name());
  if (value.is_real()) return Value::real(std::fabs(*value.get<double>()));
  const Integer number = expect_integer(runtime, value, "abs's value");
  return Value::integer(number < 0 ? -number : number);
}

Value trim(Runtime& runtime, const Value& value, Arguments& arguments) {
  auto values = bind(runtime, "trim", arguments, {"chars"}, 0);
  Arguments inner;
  if (values[0]) inner.positional.push_back(*values[0]);
  return find_function(string_methods(), "strip")(runtime, to_string(runtime, value), inner);
}

Value string(Runtime& runtime, const Value& value, Arguments& arguments) {
  bind(runtime, "string", arguments, {}, 0);
  return to_string(runtime, value);
}

template <std::string (*kMap)(std::string_view)>
Value map_text(Runtime& runtime, const Value& value, Arguments& arguments) {
  bind(runtime, "the filter", arguments, {}, 0);
  const Value text = to_string(runtime, value);
  runtime.check_bytes(2 * text.string()->text.size());
  return runtime.string_like(*text.string(), kMap(text.string()->text));
}

// jinja2's title: a word begins after white space and any of - ( { [ <.
std::string title_words(std::string_view text) {
  std::string out;
  bool begins = true;
  for (size_t at = 0; at < text.size();) {
    const CodePoint point = code_point_at(text, at);
    const std::string_view bytes = text.substr(at, point.bytes);
    out += begins ? upper_case(bytes) : lower_case(bytes);
    begins = is_python_space(point.value) ||
             (point.bytes == 1 && std::string_view("-({[<").find(bytes) != std::string_view::npos);
    at += point.bytes;
  }
  return out;
}

Value replace(Runtime& runtime, const Value& value, Arguments& arguments) {
  const auto values = bind(runtime, "replace", arguments, {"old", "new", "count"}, 2);
  const Value subject = to_string(runtime, value), from = to_string(runtime, *values[0]),
              to = to_string(runtime, *values[1]);
  const MarkedText &text = *subject.string(), &old = *from.string();
  int64_t left = values[2] && !values[2]->is_none()
                     ? expect_int64(runtime, *values[2], "replace's count")
                     : -1;
  TextBuilder out(runtime);
  size_t at = 0;
  while (left != 0) {
    const size_t found = text.text.find(old.text, at);
    if (found == std::string::npos) break;
    runtime.step();
    out.append(text, at, found);
    out.append(*to.string());
    at = found + old.text.size();
    if (left > 0) --left;
    if (!old.text.empty()) continue;
    // An empty string is found between all code points and at both ends.
    if (at >= text.text.size()) return runtime.string(out.take());
    const size_t next = at + code_point_at(text.text, at).bytes;
    out.append(text, at, next);
    at = next;
  }
  out.append(text, at);
  return runtime.string(out.take());
}

Value format(Runtime& runtime, const Value& value, Arguments& arguments) {
  const Value text = to_string(runtime, value);
  if (arguments.named.empty()) {
    return format_percent(runtime, text, runtime.tuple(std::move(arguments.positional)));
  }
  DictEntries entries;
  for (auto& [name, argument] : arguments.named) {
    entries.emplace_back(runtime.string(name), std::move(argument));
  }
  return format_percent(runtime, text, runtime.dict(std::move(entries)));
}

Value indent(Runtime& runtime, const Value& value, Arguments& arguments) {
  const auto values = bind(runtime, "indent", arguments, {"width", "first", "blank"}, 0);
  std::string margin(4, ' ');
  if (values[0] && values[0]->is_string()) {
    margin = values[0]->string()->text;
  } else if (values[0]) {
    const int64_t width = expect_int64(runtime, *values[0], "indent's width");
    runtime.check_bytes(static_cast<size_t>(std::max<int64_t>(width, 0)));
    margin.assign(static_cast<size_t>(std::max<int64_t>(width, 0)), ' ');
  }
  const bool first = values[1] && values[1]->truth(), blank = values[2] && values[2]->truth();
  TextBuilder closed(runtime);  // so that a line break at the end begins one more, empty line
  closed.append(expect_string(runtime, value, "indent's value"));
  closed.append("\n");
  Arguments none;
  const Value lines =
      find_function(string_methods(), "splitlines")(runtime, runtime.string(closed.take()), none);
  TextBuilder out(runtime);
  if (first) out.append(margin);
  const ValueList& items = lines.list()->items;
  for (size_t i = 0; i < items.size(); ++i) {
    const MarkedText& line = *items[i].string();
    if (i > 0) out.append("\n");
    if (i > 0 && (blank || !line.text.empty())) out.append(margin);
    out.append(line);
  }
  return runtime.string(out.take());
}

// The number that a whole text (white space around it allowed) spells, or nothing.
std::optional<double> parse_real(std::string_view text) {
  const Stripped kept = stripped(text, nullptr, true, true);
  text = text.substr(kept.begin, kept.end - kept.begin);
  const bool plus = !text.empty() && text[0] == '+';
  if (plus) text.remove_prefix(1);
  if (text.empty() || (plus && text[0] == '-')) return std::nullopt;
  double value = 0;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
  if (result.ec != std::errc() || result.ptr != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<Integer> parse_integer(std::string_view text, int base) {
  const Stripped kept = stripped(text, nullptr, true, true);
  text = text.substr(kept.begin, kept.end - kept.begin);
  const bool negative = !text.empty() && text[0] == '-';
  if (negative || (!text.empty() && text[0] == '+')) text.remove_prefix(1);
  if (base == 16 && (text.substr(0, 2) == "0x" || text.substr(0, 2) == "0X")) text.remove_prefix(2);
  uint64_t value = 0;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (text.empty() || result.ec != std::errc() || result.ptr != text.data() + text.size()) {
    return std::nullopt;
  }
  return negative ? -Integer{value} : Integer{value};
}

std::optional<Integer> truncated(double value) {
  if (!(std::fabs(value) < 0x1p64)) return std::nullopt;
  return static_cast<Integer>(std::trunc(value));
}

Value to_integer(Runtime& runtime, const Value& value, Arguments& arguments) {
  const auto values = bind(runtime, "int", arguments, {"default", "base"}, 0);
  if (value.is_undefined()) runtime.fail_undefined(value);
  const int64_t base = values[1] ? expect_int64(runtime, *values[1], "int's base") : 10;
  if (base < 2 || base > 36) runtime.fail("int's base must be 2 to 36");
  std::optional<Integer> out;
  if (const MarkedText* text = value.string()) {
    out = parse_integer(text->text, static_cast<int>(base));
    const auto real = out ? std::nullopt : parse_real(text->text);
    if (real) out = truncated(*real);
  } else if (value.is_real()) {
    out = truncated(*value.get<double>());
  } else if (value.is_number()) {
    out = expect_integer(runtime, value, "the value");
  }
  return out ? Value::integer(*out) : values[0].value_or(Value::integer(Integer{0}));
}

Value to_real(Runtime& runtime, const Value& value, Arguments& arguments) {
  const auto values = bind(runtime, "float", arguments, {"default"}, 0);
  if (value.is_undefined()) runtime.fail_undefined(value);
  std::optional<double> out;
  if (const MarkedText* text = value.string()) out = parse_real(text->text);
  if (value.is_number()) out = to_double(value);
  return out ? Value::real(*out) : values[0].value_or(Value::real(0));
}

Value round(Runtime& runtime, const Value& value, Arguments& arguments) {
  const auto values = bind(runtime, "round", arguments, {"precision", "method"}, 0);
  if (value.is_undefined()) runtime.fail_undefined(value);
  if (!value.is_number()) runtime.fail("round needs a number, not %s", value.type_name());
  const int64_t digits = values[0] ? expect_int64(runtime, *values[0], "the precision") : 0;
  const std::string method =
      values[1] ? expect_string(runtime, *values[1], "the method").text : "common";
  if (method == "common") {
    if (!value.is_real() && digits >= 0) {
      return Value::integer(expect_integer(runtime, value, "the value"));
    }
    const double rounded = round_half_even(to_double(value), digits);
    if (value.is_real()) return Value::real(rounded);
    return Value::integer(truncated(rounded).value_or(0));
  }
  if (method != "ceil" && method != "floor") {
    runtime.fail("round's method must be common, ceil or floor");
  }
  const double scale = std::pow(10.0, static_cast<double>(digits));
  const double scaled = to_double(value) * scale;
  // In Python these are integers, which have no negative zero.
  return Value::real(((method == "ceil" ? std::ceil(scaled) : std::floor(scaled)) + 0.0) / scale);
}

Value tojson(Runtime& runtime, const Value& value, Arguments& arguments) {
  const auto values =
      bind(runtime, "tojson", arguments, {"ensure_ascii", "indent", "separators", "sort_keys"}, 0);
  JsonStyle style;
  style.ensure_ascii = values[0] && values[0]->truth();
  if (values[1] && values[1]->is_string()) {
    style.indent = values[1]->string()->text;
  } else if (values[1] && !values[1]->is_none()) {
    const int64_t width =
        std::clamp<int64_t>(expect_int64(runtime, *values[1], "tojson's indent"), 0, 1000);
    style.indent = std::string(static_cast<size_t>(width), ' ');
  }
  if (style.indent) style.item_separator.pop_back();  // the line break takes the blank's place
  if (values[2] && !values[2]->is_none()) {
    const ListObject* pair = values[2]->list();
    if (pair == nullptr || pair->items.size() != 2) runtime.fail("separators must be a pair");
    style.item_separator = expect_string(runtime, pair->items[0], "a separator").text;
    style.key_separator = expect_string(runtime, pair->items[1], "a separator").text;
  }
  style.sort_keys = values[3] && values[3]->truth();
  return to_json(runtime, value, style);
}

Value escape(Runtime& runtime, const Value& value, Arguments& arguments) {
  bind(runtime, "escape", arguments, {}, 0);
  const Value subject = to_string(runtime, value);
  const MarkedText& text = *subject.string();
  TextBuilder out(runtime);
  size_t at = 0;
  while (at < text.text.size()) {
    const size_t found = std::min(text.text.find_first_of("&<>'\"", at), text.text.size());
    out.append(text, at, found);
    if (found == text.text.size()) break;
    const char c = text.text[found];
    out.append(c == '&'   ? "&amp;"
               : c == '<' ? "&lt;"
               : c == '>' ? "&gt;"
               : c == '"' ? "&#34;"
                          : "&#39;");
    at = found + 1;
  }
  return runtime.string(out.take());
}

Value wordcount(Runtime& runtime, const Value& value, Arguments& arguments) {
  bind(runtime, "wordcount", arguments, {}, 0);
  const Value text = to_string(runtime, value);
  const std::string& bytes = text.string()->text;
  size_t words = 0;
  bool inside = false;
  for (size_t at = 0; at < bytes.size();) {
    const CodePoint point = code_point_at(bytes, at);
    const bool part =
        is_python_letter(point.value) || is_python_digit(point.value) || point.value == '_';
    if (part && !inside) ++words;
    inside = part;
    at += point.bytes;
  }
  return Value::integer(words);
}

Value center(Runtime& runtime, const Value& value, Arguments& arguments) {
  const auto values = bind(runtime, "center", arguments, {"width"}, 0);
  Arguments inner;
  inner.positional.push_back(values[0].value_or(Value::integer(Integer{80})));
  return find_function(string_methods(), "center")(runtime, to_string(runtime, value), inner);
}

}  // namespace

const NamedFunctions<Filter>& scalar_filters() {
  static const NamedFunctions<Filter> table = {
      {"default", default_value},
      {"d", default_value},
      {"length", length},
      {"count", length},
      {"abs", absolute},
      {"trim", trim},
      {"string", string},
      {"safe", string},
      {"upper", map_text<upper_case>},
      {"lower", map_text<lower_case>},
      {"capitalize", map_text<capitalized>},
      {"title", map_text<title_words>},
      {"replace", replace},
      {"format", format},
      {"indent", indent},
      {"int", to_integer},
      {"float", to_real},
      {"round", round},
      {"tojson", tojson},
      {"escape", escape},
      {"e", escape},
      {"wordcount", wordcount},
      {"center", center},
  };
  return table;
}

Value apply_filter(Runtime& runtime, std::string_view name, const Value& value,
                   Arguments& arguments) {
  Filter filter = find_function(scalar_filters(), name);
  if (filter == nullptr) filter = find_function(list_filters(), name);
  if (filter == nullptr) {
    runtime.fail("unknown filter '%s'", base::printable(name, 60).c_str());
  }
  return filter(runtime, value, arguments);
}

}  // namespace karat::text
