// The methods of Python's str that templates use.
#include <algorithm>

#include "text/jinja_builtins.h"
#include "text/jinja_operators.h"
#include "text/jinja_print.h"
#include "text/python_text.h"

namespace karat::text {

namespace {

const MarkedText& self_text(const Value& self) { return *self.string(); }

// strip, lstrip, rstrip with an optional set of characters.
template <bool kLeft, bool kRight>
Value strip(Runtime& runtime, const Value& self, Arguments& arguments) {
  const auto values = bind(runtime, "strip", arguments, {"chars"}, 0);
  const MarkedText& text = self_text(self);
  runtime.step_bytes(text.text.size());
  Stripped kept;
  if (!values[0] || values[0]->is_none()) {
    kept = stripped(text.text, nullptr, kLeft, kRight);
  } else {
    const std::string_view set = expect_string(runtime, *values[0], "strip's argument").text;
    kept = stripped(text.text, &set, kLeft, kRight);
  }
  if (kept.begin == 0 && kept.end == text.text.size()) return self;
  return runtime.string(text.part(kept.begin, kept.end));
}

using Spans = std::vector<TextSpan>;

// Pieces between runs of white space; at most `most` cuts, from the left or from the right.
Spans split_at_space(std::string_view text, size_t most, bool from_right) {
  Spans out;
  TextSpan rest{0, text.size()};
  while (true) {
    const Stripped kept =
        stripped(text.substr(rest.begin, rest.end - rest.begin), nullptr, !from_right, from_right);
    rest = {rest.begin + kept.begin, rest.begin + kept.end};
    if (rest.begin >= rest.end) break;
    if (out.size() == most) {
      out.push_back(rest);
      break;
    }
    size_t at = from_right ? rest.end : rest.begin;
    while (from_right ? at > rest.begin : at < rest.end) {
      const size_t start = from_right ? previous_code_point(text, at) : at;
      const CodePoint point = code_point_at(text, start);
      if (is_python_space(point.value)) break;
      at = from_right ? start : at + point.bytes;
    }
    out.push_back(from_right ? TextSpan{at, rest.end} : TextSpan{rest.begin, at});
    (from_right ? rest.end : rest.begin) = at;
  }
  return out;
}

Spans split_at(std::string_view text, std::string_view separator, size_t most, bool from_right) {
  Spans out;
  TextSpan rest{0, text.size()};
  while (out.size() < most) {
    const std::string_view part = text.substr(rest.begin, rest.end - rest.begin);
    const size_t found = from_right ? part.rfind(separator) : part.find(separator);
    if (found == std::string_view::npos) break;
    const size_t at = rest.begin + found;
    if (from_right) {
      out.push_back({at + separator.size(), rest.end});
      rest.end = at;
    } else {
      out.push_back({rest.begin, at});
      rest.begin = at + separator.size();
    }
  }
  out.push_back(rest);
  return out;
}

Value parts_of(Runtime& runtime, const MarkedText& text, const Spans& spans) {
  ValueList items;
  runtime.step(spans.size());
  for (const TextSpan& span : spans) {
    runtime.check_bytes(items.size() * sizeof(Value));
    items.push_back(runtime.string(text.part(span.begin, span.end)));
  }
  return runtime.list(std::move(items));
}

template <bool kFromRight>
Value split(Runtime& runtime, const Value& self, Arguments& arguments) {
  const auto values = bind(runtime, "split", arguments, {"sep", "maxsplit"}, 0);
  const MarkedText& text = self_text(self);
  runtime.step_bytes(text.text.size());
  const int64_t most = values[1] ? expect_int64(runtime, *values[1], "maxsplit") : -1;
  const size_t cuts = most < 0 ? SIZE_MAX : static_cast<size_t>(most);
  Spans spans;
  if (!values[0] || values[0]->is_none()) {
    runtime.check_bytes(text.text.size() / 2 * sizeof(TextSpan));
    spans = split_at_space(text.text, cuts, kFromRight);
  } else {
    const std::string& separator = expect_string(runtime, *values[0], "the separator").text;
    if (separator.empty()) runtime.fail("split: the separator is empty");
    runtime.check_bytes(text.text.size() / separator.size() * sizeof(TextSpan));
    spans = split_at(text.text, separator, cuts, kFromRight);
  }
  if (kFromRight) std::reverse(spans.begin(), spans.end());
  return parts_of(runtime, text, spans);
}

bool is_line_break(int32_t c) {
  return (c >= 0x0A && c <= 0x0D) || (c >= 0x1C && c <= 0x1E) || c == 0x85 || c == 0x2028 ||
         c == 0x2029;
}

Value splitlines(Runtime& runtime, const Value& self, Arguments& arguments) {
  const auto values = bind(runtime, "splitlines", arguments, {"keepends"}, 0);
  const bool keep = values[0] && values[0]->truth();
  const std::string& text = self_text(self).text;
  runtime.step_bytes(text.size());
  runtime.check_bytes(text.size() * sizeof(TextSpan));
  Spans spans;
  size_t begin = 0;
  for (size_t at = 0; at < text.size();) {
    const CodePoint point = code_point_at(text, at);
    size_t next = at + point.bytes;
    if (is_line_break(point.value)) {
      if (point.value == '\r' && next < text.size() && text[next] == '\n') ++next;
      spans.push_back({begin, keep ? next : at});
      begin = next;
    }
    at = next;
  }
  if (begin < text.size()) spans.push_back({begin, text.size()});
  return parts_of(runtime, self_text(self), spans);
}

// Calls test(text, affix) for a string or any string of a tuple.
template <class Function>
Value any_affix(Runtime& runtime, const Value& affix, Function test) {
  if (const ListObject* list = affix.list(); list != nullptr && list->is_tuple) {
    for (const Value& item : list->items) {
      if (test(expect_string(runtime, item, "the argument").text)) return Value::boolean(true);
    }
    return Value::boolean(false);
  }
  return Value::boolean(test(expect_string(runtime, affix, "the argument").text));
}

// The part of a text between two optional code point positions, in bytes.
TextSpan window(Runtime& runtime, const std::string& text, const std::optional<Value>& start,
                const std::optional<Value>& end) {
  TextSpan out{0, text.size()};
  if (!start && !end) return out;
  runtime.step_bytes(text.size());
  const auto size = static_cast<Integer>(count_code_points(text));
  const auto at = [&](const std::optional<Value>& value, size_t absent) {
    if (!value || value->is_none()) return absent;
    Integer index = expect_integer(runtime, *value, "a position");
    if (index < 0) index = std::max<Integer>(index + size, 0);
    return index > size ? std::string::npos : byte_offset(text, static_cast<size_t>(index));
  };
  out.begin = at(start, 0);
  out.end = std::min(at(end, text.size()), text.size());
  return out;  // begin may be npos: past the end, where not even an empty string is found
}

Value startswith(Runtime& runtime, const Value& self, Arguments& arguments) {
  const auto values = bind(runtime, "startswith", arguments, {"prefix", "start", "end"}, 1);
  const std::string& text = self_text(self).text;
  const TextSpan range = window(runtime, text, values[1], values[2]);
  return any_affix(runtime, *values[0], [&](std::string_view prefix) {
    return range.begin <= range.end && prefix.size() <= range.end - range.begin &&
           text.compare(range.begin, prefix.size(), prefix) == 0;
  });
}

Value endswith(Runtime& runtime, const Value& self, Arguments& arguments) {
  const auto values = bind(runtime, "endswith", arguments, {"suffix", "start", "end"}, 1);
  const std::string& text = self_text(self).text;
  const TextSpan range = window(runtime, text, values[1], values[2]);
  return any_affix(runtime, *values[0], [&](std::string_view suffix) {
    return range.begin <= range.end && suffix.size() <= range.end - range.begin &&
           text.compare(range.end - suffix.size(), suffix.size(), suffix) == 0;
  });
}

template <bool kFromRight, bool kMustExist>
Value find_text(Runtime& runtime, const Value& self, Arguments& arguments) {
  const auto values = bind(runtime, "find", arguments, {"sub", "start", "end"}, 1);
  const std::string& text = self_text(self).text;
  const std::string& part = expect_string(runtime, *values[0], "find's argument").text;
  const TextSpan range = window(runtime, text, values[1], values[2]);
  runtime.step_bytes(text.size());
  size_t found = std::string::npos;
  if (range.begin <= range.end) {
    const std::string_view inside =
        std::string_view(text).substr(range.begin, range.end - range.begin);
    found = kFromRight ? inside.rfind(part) : inside.find(part);
  }
  if (found != std::string::npos) {
    return Value::integer(count_code_points(std::string_view(text).substr(0, range.begin + found)));
  }
  if (kMustExist) runtime.fail("substring not found");
  return Value::integer(Integer{-1});
}

Value count(Runtime& runtime, const Value& self, Arguments& arguments) {
  const auto values = bind(runtime, "count", arguments, {"sub", "start", "end"}, 1);
  const std::string& text = self_text(self).text;
  const std::string& part = expect_string(runtime, *values[0], "count's argument").text;
  const TextSpan range = window(runtime, text, values[1], values[2]);
  runtime.step_bytes(text.size());
  if (range.begin > range.end) return Value::integer(Integer{0});
  const std::string_view inside =
      std::string_view(text).substr(range.begin, range.end - range.begin);
  if (part.empty()) return Value::integer(count_code_points(inside) + 1);
  size_t found = 0;
  for (size_t at = inside.find(part); at != std::string_view::npos;
       at = inside.find(part, at + part.size())) {
    ++found;
  }
  return Value::integer(found);
}

template <std::string (*kMap)(std::string_view)>
Value map_text(Runtime& runtime, const Value& self, Arguments& arguments) {
  bind(runtime, "the method", arguments, {}, 0);
  runtime.check_bytes(2 * self_text(self).text.size());
  return runtime.string_like(self_text(self), kMap(self_text(self).text));
}

Value replace(Runtime& runtime, const Value& self, Arguments& arguments) {
  return apply_filter(runtime, "replace", self, arguments);
}

Value join(Runtime& runtime, const Value& self, Arguments& arguments) {
  const auto values = bind(runtime, "join", arguments, {"iterable"}, 1);
  TextBuilder out(runtime);
  bool first = true;
  for (const Value& item : runtime.iterate(*values[0])) {
    if (!first) out.append(self_text(self));
    first = false;
    out.append(expect_string(runtime, item, "an item to join"));
  }
  return runtime.string(out.take());
}

// True if the text is not empty and all its code points pass.
template <bool (*kTest)(int32_t)>
Value all_are(Runtime& runtime, const Value& self, Arguments& arguments) {
  bind(runtime, "the method", arguments, {}, 0);
  const std::string& text = self_text(self).text;
  runtime.step_bytes(text.size());
  for (size_t at = 0; at < text.size();) {
    const CodePoint point = code_point_at(text, at);
    if (!kTest(point.value)) return Value::boolean(false);
    at += point.bytes;
  }
  return Value::boolean(!text.empty());
}

bool is_letter_or_digit(int32_t c) { return is_python_letter(c) || is_python_digit(c); }

template <bool (*kTest)(std::string_view)>
Value test_text(Runtime& runtime, const Value& self, Arguments& arguments) {
  bind(runtime, "the method", arguments, {}, 0);
  runtime.step_bytes(self_text(self).text.size());
  return Value::boolean(kTest(self_text(self).text));
}

Value padded(Runtime& runtime, const MarkedText& text, size_t left, size_t right,
             std::string_view fill) {
  runtime.check_bytes((left + right) * fill.size());
  TextBuilder out(runtime);
  std::string pad;
  for (size_t i = 0; i < std::max(left, right); ++i) pad += fill;
  out.append(std::string_view(pad).substr(0, left * fill.size()));
  out.append(text);
  out.append(std::string_view(pad).substr(0, right * fill.size()));
  return runtime.string(out.take());
}

enum class Side { left, right, both };

template <Side kSide>
Value justify(Runtime& runtime, const Value& self, Arguments& arguments) {
  const auto values = bind(runtime, "center, ljust and rjust", arguments, {"width", "fillchar"}, 1);
  const MarkedText& text = self_text(self);
  const int64_t width = expect_int64(runtime, *values[0], "the width");
  const std::string fill = values[1] ? expect_string(runtime, *values[1], "the fill").text : " ";
  if (count_code_points(fill) != 1) runtime.fail("the fill must be one character");
  const auto size = static_cast<int64_t>(count_code_points(text.text));
  if (width <= size) return self;
  runtime.check_bytes(static_cast<size_t>(width));
  const auto pad = static_cast<size_t>(width - size);
  if (kSide == Side::left) return padded(runtime, text, 0, pad, fill);
  if (kSide == Side::right) return padded(runtime, text, pad, 0, fill);
  const size_t left = pad / 2 + (pad & static_cast<size_t>(width) & 1);  // CPython's rule
  return padded(runtime, text, left, pad - left, fill);
}

Value zfill(Runtime& runtime, const Value& self, Arguments& arguments) {
  const auto values = bind(runtime, "zfill", arguments, {"width"}, 1);
  const MarkedText& text = self_text(self);
  const int64_t width = expect_int64(runtime, *values[0], "the width");
  const auto size = static_cast<int64_t>(count_code_points(text.text));
  if (width <= size) return self;
  runtime.check_bytes(static_cast<size_t>(width));
  const size_t sign = !text.text.empty() && (text.text[0] == '-' || text.text[0] == '+') ? 1 : 0;
  TextBuilder out(runtime);
  out.append(text, 0, sign);
  out.append(std::string(static_cast<size_t>(width - size), '0'));
  out.append(text, sign);
  return runtime.string(out.take());
}

template <bool kFromRight>
Value partition(Runtime& runtime, const Value& self, Arguments& arguments) {
  const auto values = bind(runtime, "partition", arguments, {"sep"}, 1);
  const MarkedText& text = self_text(self);
  const std::string& separator = expect_string(runtime, *values[0], "the separator").text;
  if (separator.empty()) runtime.fail("partition: the separator is empty");
  runtime.step_bytes(text.text.size());
  const size_t at = kFromRight ? text.text.rfind(separator) : text.text.find(separator);
  const Value empty = runtime.string(std::string());
  if (at == std::string::npos) {
    return runtime.tuple(kFromRight ? ValueList{empty, empty, self}
                                    : ValueList{self, empty, empty});
  }
  return runtime.tuple({runtime.string(text.part(0, at)),
                        runtime.string(text.part(at, at + separator.size())),
                        runtime.string(text.part(at + separator.size(), text.text.size()))});
}

template <bool kPrefix>
Value remove_affix(Runtime& runtime, const Value& self, Arguments& arguments) {
  const auto values = bind(runtime, "removeprefix", arguments, {"affix"}, 1);
  const MarkedText& text = self_text(self);
  const std::string& affix = expect_string(runtime, *values[0], "the argument").text;
  const size_t size = text.text.size();
  if (affix.size() > size || affix.empty()) return self;
  const size_t at = kPrefix ? 0 : size - affix.size();
  if (text.text.compare(at, affix.size(), affix) != 0) return self;
  return runtime.string(kPrefix ? text.part(affix.size(), size) : text.part(0, at));
}

Value format(Runtime& runtime, const Value& self, Arguments& arguments) {
  return format_braces(runtime, self_text(self), arguments);
}

}  // namespace

const NamedFunctions<CallableObject::Function>& string_methods() {
  static const NamedFunctions<CallableObject::Function> table = {
      {"strip", strip<true, true>},
      {"lstrip", strip<true, false>},
      {"rstrip", strip<false, true>},
      {"split", split<false>},
      {"rsplit", split<true>},
      {"splitlines", splitlines},
      {"startswith", startswith},
      {"endswith", endswith},
      {"find", find_text<false, false>},
      {"rfind", find_text<true, false>},
      {"index", find_text<false, true>},
      {"rindex", find_text<true, true>},
      {"count", count},
      {"upper", map_text<upper_case>},
      {"lower", map_text<lower_case>},
      {"casefold", map_text<lower_case>},
      {"capitalize", map_text<capitalized>},
      {"title", map_text<title_case>},
      {"replace", replace},
      {"join", join},
      {"isspace", all_are<is_python_space>},
      {"isalpha", all_are<is_python_letter>},
      {"isdigit", all_are<is_python_digit>},
      {"isdecimal", all_are<is_python_digit>},
      {"isnumeric", all_are<is_python_digit>},
      {"isalnum", all_are<is_letter_or_digit>},
      {"isupper", test_text<is_upper_case>},
      {"islower", test_text<is_lower_case>},
      {"ljust", justify<Side::left>},
      {"rjust", justify<Side::right>},
      {"center", justify<Side::both>},
      {"zfill", zfill},
      {"partition", partition<false>},
      {"rpartition", partition<true>},
      {"removeprefix", remove_affix<true>},
      {"removesuffix", remove_affix<false>},
      {"format", format},
  };
  return table;
}

}  // namespace karat::text
