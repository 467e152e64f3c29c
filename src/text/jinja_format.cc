// Python's two ways to format a string: "%d" % x and "{}".format(x).
#include <algorithm>
#include <array>
#include <cmath>

#include "base/text.h"
#include "text/jinja_operators.h"
#include "text/jinja_print.h"
#include "text/python_text.h"

namespace karat::text {

namespace {

// Widest field a format may ask for.
constexpr size_t kWidthMax = 10000;

struct Field {
  bool left = false, zero = false, plus = false, blank = false, alternate = false;
  size_t width = 0;
  std::optional<size_t> precision;
};

class PercentFormatter {
 public:
  PercentFormatter(Runtime& runtime, const MarkedText& format, const Value& value)
      : runtime_(runtime), format_(format), value_(value), out_(runtime) {}

  Value run() {
    const std::string& text = format_.text;
    while (at_ < text.size()) {
      const size_t percent = std::min(text.find('%', at_), text.size());
      out_.append(format_, at_, percent);
      at_ = percent;
      if (at_ < text.size()) conversion();
    }
    const ListObject* list = value_.list();
    const bool tuple = list != nullptr && list->is_tuple;
    // Python lets everything that has [] stay unused, and counts lists among them.
    const bool optional = list != nullptr || value_.dict() != nullptr;
    if (tuple ? used_ < list->items.size() : used_ == 0 && !optional) {
      runtime_.fail("not all arguments converted during string formatting");
    }
    return runtime_.string(out_.take());
  }

 private:
  char peek() const { return at_ < format_.text.size() ? format_.text[at_] : '\0'; }

  size_t number() {
    size_t out = 0;
    while (peek() >= '0' && peek() <= '9') {
      out = out * 10 + static_cast<size_t>(peek() - '0');
      if (out > kWidthMax) runtime_.fail("a format field wider than %zu", kWidthMax);
      ++at_;
    }
    return out;
  }

  Field field() {
    Field out;
    for (;; ++at_) {
      const char c = peek();
      if (c == '-') {
        out.left = true;
      } else if (c == '0') {
        out.zero = true;
      } else if (c == '+') {
        out.plus = true;
      } else if (c == ' ') {
        out.blank = true;
      } else if (c == '#') {
        out.alternate = true;
      } else {
        break;
      }
    }
    out.width = number();
    if (peek() == '.') {
      ++at_;
      out.precision = number();
    }
    return out;
  }

  // The next value: of the tuple, the single one, or the one named by %(key)s.
  Value next(const std::optional<std::string>& key) {
    if (key) {
      const DictObject* dict = value_.dict();
      const Value* found = dict == nullptr ? nullptr : find(runtime_, *dict, *key);
      if (found == nullptr) runtime_.fail("format: there is no value '%s'", key->c_str());
      ++used_;
      return *found;
    }
    const ListObject* list = value_.list();
    if (list != nullptr && list->is_tuple) {
      if (used_ >= list->items.size()) runtime_.fail("not enough arguments for format string");
      return list->items[used_++];
    }
    if (used_++ > 0) runtime_.fail("not enough arguments for format string");
    return value_;
  }

  void conversion() {
    ++at_;  // the percent sign
    std::optional<std::string> key;
    if (peek() == '(') {
      const size_t close = format_.text.find(')', at_);
      if (close == std::string::npos) runtime_.fail("format: '(' without ')'");
      key = format_.text.substr(at_ + 1, close - at_ - 1);
      at_ = close + 1;
    }
    const Field shape = field();
    const char kind = peek();
    ++at_;
    if (kind == '%') {
      out_.append("%");
    } else if (kind == 's' || kind == 'r') {
      text_field(shape, kind, next(key));
    } else if (kind != '\0' && std::string_view("dixXoufFeEgG").find(kind) != std::string::npos) {
      out_.append(number_field(shape, kind, next(key)));
    } else {
      runtime_.fail("format: unknown conversion '%%%c'", kind == '\0' ? ' ' : kind);
    }
  }

  void text_field(const Field& shape, char kind, const Value& value) {
    TextBuilder body(runtime_);
    if (kind == 'r' && value.is_string()) {
      body.append(MarkedText(python_repr(value.string()->text), value.string()->has_input()));
    } else {
      print(value, runtime_, body);
    }
    MarkedText text = body.take();
    if (shape.precision) text = text.part(0, byte_offset(text.text, *shape.precision));
    const size_t size = count_code_points(text.text);
    const std::string padding(shape.width > size ? shape.width - size : 0, ' ');
    if (!shape.left) out_.append(padding);
    out_.append(text);
    if (shape.left) out_.append(padding);
  }

  std::string number_field(const Field& shape, char kind, const Value& value) {
    if (!value.is_number()) {
      runtime_.fail("%%%c needs a number, not %s", kind, value.type_name());
    }
    std::string digits = std::string_view("dixXou").find(kind) != std::string_view::npos
                             ? integer_digits(shape, kind, value)
                             : real_digits(shape, kind, to_double(value));
    std::string sign = digits[0] == '-' ? "-" : shape.plus ? "+" : shape.blank ? " " : "";
    if (digits[0] == '-') digits.erase(0, 1);
    const size_t size = sign.size() + digits.size();
    const std::string padding(shape.width > size ? shape.width - size : 0,
                              shape.zero && !shape.left ? '0' : ' ');
    if (shape.left) return sign + digits + padding;
    return shape.zero ? sign + padding + digits : padding + sign + digits;
  }

  std::string integer_digits(const Field& shape, char kind, const Value& value) {
    Integer number = 0;
    if (value.is_real()) {
      const double real = std::trunc(*value.get<double>());
      if (!(std::fabs(real) < 0x1p63)) runtime_.fail("%%%c: the number is too large", kind);
      number = static_cast<Integer>(real);
    } else {
      number = expect_integer(runtime_, value, "the number");
    }
    const bool negative = number < 0;
    const auto magnitude = static_cast<uint64_t>(negative ? -number : number);
    std::string digits = kind == 'x'   ? base::strf("%lx", magnitude)
                         : kind == 'X' ? base::strf("%lX", magnitude)
                         : kind == 'o' ? base::strf("%lo", magnitude)
                                       : base::strf("%lu", magnitude);
    const size_t least = shape.precision.value_or(0);
    if (digits.size() < least) digits.insert(0, least - digits.size(), '0');
    if (shape.alternate && (kind == 'x' || kind == 'X' || kind == 'o')) {
      digits.insert(0, std::string("0") + kind);
    }
    return (negative ? "-" : "") + digits;
  }

  static std::string real_digits(const Field& shape, char kind, double number) {
    const int precision = static_cast<int>(shape.precision.value_or(6));
    switch (kind) {
      case 'e':
        return base::strf("%.*e", precision, number);
      case 'E':
        return base::strf("%.*E", precision, number);
      case 'g':
        return base::strf("%.*g", precision, number);
      case 'G':
        return base::strf("%.*G", precision, number);
      default:
        return base::strf("%.*f", precision, number);
    }
  }

  Runtime& runtime_;
  const MarkedText& format_;
  const Value& value_;
  TextBuilder out_;
  size_t at_ = 0, used_ = 0;
};

// The value that {}, {0} or {name} stands for.
Value brace_value(Runtime& runtime, const std::string& field, size_t& automatic,
                  const Arguments& arguments) {
  const bool numbered = field.find_first_not_of("0123456789") == std::string::npos;
  if (!numbered) {
    for (const auto& [name, value] : arguments.named) {
      if (name == field) return value;
    }
    runtime.fail("format: '{%s}' is not supported or has no value", field.c_str());
  }
  if (field.size() > 4) runtime.fail("format: index '%s' is out of range", field.c_str());
  const size_t index = field.empty() ? automatic++ : static_cast<size_t>(std::stoul(field));
  if (index >= arguments.positional.size()) {
    runtime.fail("format: there is no argument %zu", index);
  }
  return arguments.positional[index];
}

}  // namespace

Value format_percent(Runtime& runtime, const Value& format, const Value& value) {
  return PercentFormatter(runtime, *format.string(), value).run();
}

Value format_braces(Runtime& runtime, const MarkedText& format, const Arguments& arguments) {
  const std::string& text = format.text;
  TextBuilder out(runtime);
  size_t automatic = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t brace = std::min(text.find_first_of("{}", at), text.size());
    out.append(format, at, brace);
    at = brace;
    if (at >= text.size()) break;
    if (at + 1 < text.size() && text[at + 1] == text[at]) {
      out.append(format, at, at + 1);
      at += 2;
      continue;
    }
    const size_t close = text[at] == '{' ? text.find('}', at) : std::string::npos;
    if (close == std::string::npos) runtime.fail("format: single '%c' in the string", text[at]);
    print(brace_value(runtime, text.substr(at + 1, close - at - 1), automatic, arguments), runtime,
          out);
    at = close + 1;
  }
  return runtime.string(out.take());
}

}  // namespace karat::text
