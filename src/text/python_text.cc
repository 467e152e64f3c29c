#include "text/python_text.h"

#include <utf8proc.h>

#include <array>
#include <charconv>
#include <cmath>

#include "base/text.h"

namespace karat::text {

CodePoint code_point_at(std::string_view text, size_t at) {
  const auto lead = static_cast<uint8_t>(text[at]);
  if (lead < 0x80) return {lead, 1};
  utf8proc_int32_t value = 0;
  const auto* bytes = reinterpret_cast<const utf8proc_uint8_t*>(text.data()) + at;
  const utf8proc_ssize_t length =
      utf8proc_iterate(bytes, static_cast<utf8proc_ssize_t>(text.size() - at), &value);
  if (length <= 0) return {0xFFFD, 1};
  return {value, static_cast<size_t>(length)};
}

size_t previous_code_point(std::string_view text, size_t end) {
  for (size_t back = 1; back <= 4 && back <= end; ++back) {
    const size_t at = end - back;
    if ((static_cast<uint8_t>(text[at]) & 0xC0) == 0x80) continue;
    return code_point_at(text, at).bytes == back ? at : end - 1;
  }
  return end - 1;
}

size_t count_code_points(std::string_view text) {
  size_t count = 0;
  for (size_t at = 0; at < text.size(); at += code_point_at(text, at).bytes) ++count;
  return count;
}

size_t byte_offset(std::string_view text, size_t index) {
  size_t at = 0;
  while (index > 0 && at < text.size()) {
    at += code_point_at(text, at).bytes;
    --index;
  }
  return at;
}

bool is_python_space(int32_t c) {
  return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 ||
         c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F ||
         c == 0x205F || c == 0x3000;
}

bool is_python_letter(int32_t c) {
  switch (utf8proc_category(c)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
      return true;
    default:
      return false;
  }
}

bool is_python_digit(int32_t c) { return utf8proc_category(c) == UTF8PROC_CATEGORY_ND; }

void append_utf8(int32_t code_point, std::string& out) {
  std::array<utf8proc_uint8_t, 4> bytes{};
  const utf8proc_ssize_t length = utf8proc_encode_char(code_point, bytes.data());
  out.append(reinterpret_cast<const char*>(bytes.data()), static_cast<size_t>(length));
}

namespace {

constexpr int32_t kSharpS = 0xDF;

bool is_cased(int32_t c) {
  return utf8proc_tolower(c) != c || utf8proc_toupper(c) != c || c == kSharpS;
}

void append_upper(int32_t c, bool title, std::string& out) {
  if (c == kSharpS) {
    out += title ? "Ss" : "SS";
  } else {
    append_utf8(title ? utf8proc_totitle(c) : utf8proc_toupper(c), out);
  }
}

// Calls visit(code point, bytes) for each; malformed bytes are passed with value -1.
template <class Visit>
void for_each_code_point(std::string_view text, Visit visit) {
  for (size_t at = 0; at < text.size();) {
    const CodePoint point = code_point_at(text, at);
    const bool malformed =
        point.bytes == 1 && point.value == 0xFFFD;  // the real U+FFFD takes three bytes
    visit(malformed ? -1 : point.value, text.substr(at, point.bytes));
    at += point.bytes;
  }
}

}  // namespace

std::string upper_case(std::string_view text) {
  std::string out;
  for_each_code_point(text, [&](int32_t c, std::string_view bytes) {
    if (c < 0) {
      out += bytes;
    } else {
      append_upper(c, false, out);
    }
  });
  return out;
}

std::string lower_case(std::string_view text) {
  std::string out;
  for_each_code_point(text, [&](int32_t c, std::string_view bytes) {
    if (c < 0) {
      out += bytes;
    } else {
      append_utf8(utf8proc_tolower(c), out);
    }
  });
  return out;
}

std::string capitalized(std::string_view text) {
  if (text.empty()) return {};
  const CodePoint first = code_point_at(text, 0);
  std::string out;
  if (first.bytes == 1 && first.value == 0xFFFD) {
    out += text[0];
  } else {
    append_upper(first.value, true, out);
  }
  return out + lower_case(text.substr(first.bytes));
}

std::string title_case(std::string_view text) {
  std::string out;
  bool after_letter = false;
  for_each_code_point(text, [&](int32_t c, std::string_view bytes) {
    if (c < 0) {
      out += bytes;
    } else if (after_letter) {
      append_utf8(utf8proc_tolower(c), out);
    } else {
      append_upper(c, true, out);
    }
    after_letter = c >= 0 && is_cased(c);
  });
  return out;
}

bool is_upper_case(std::string_view text) {
  bool any = false, all = true;
  for_each_code_point(text, [&](int32_t c, std::string_view) {
    if (c < 0 || !is_cased(c)) return;
    any = true;
    all = all && utf8proc_tolower(c) != c;
  });
  return any && all;
}

bool is_lower_case(std::string_view text) {
  bool any = false, all = true;
  for_each_code_point(text, [&](int32_t c, std::string_view) {
    if (c < 0 || !is_cased(c)) return;
    any = true;
    all = all && utf8proc_tolower(c) == c;
  });
  return any && all;
}

Stripped stripped(std::string_view text, const std::string_view* characters, bool left,
                  bool right) {
  const auto drop = [&](size_t at, size_t bytes) {
    if (characters == nullptr) return is_python_space(code_point_at(text, at).value);
    return characters->find(text.substr(at, bytes)) != std::string_view::npos;
  };
  Stripped out{0, text.size()};
  while (left && out.begin < out.end) {
    const size_t bytes = code_point_at(text, out.begin).bytes;
    if (!drop(out.begin, bytes)) break;
    out.begin += bytes;
  }
  while (right && out.end > out.begin) {
    const size_t at = previous_code_point(text, out.end);
    if (!drop(at, out.end - at)) break;
    out.end = at;
  }
  return out;
}

namespace {

bool is_python_printable(int32_t c) {
  switch (utf8proc_category(c)) {
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
      return false;
    case UTF8PROC_CATEGORY_ZS:
      return c == ' ';
    default:
      return true;
  }
}

std::string escaped(int32_t c) {
  const auto value = static_cast<unsigned>(c);
  if (c == '\n') return "\\n";
  if (c == '\r') return "\\r";
  if (c == '\t') return "\\t";
  if (c < 0x100) return base::strf("\\x%02x", value);
  if (c < 0x10000) return base::strf("\\u%04x", value);
  return base::strf("\\U%08x", value);
}

}  // namespace

std::string python_repr(std::string_view text) {
  const bool has_single = text.find('\'') != std::string_view::npos;
  const char quote = has_single && text.find('"') == std::string_view::npos ? '"' : '\'';
  std::string out(1, quote);
  for_each_code_point(text, [&](int32_t c, std::string_view bytes) {
    if (c == quote || c == '\\') {
      out += '\\';
      out += bytes;
    } else if (c < 0) {
      out += escaped(static_cast<uint8_t>(bytes[0]));
    } else if (is_python_printable(c)) {
      out += bytes;
    } else {
      out += escaped(c);
    }
  });
  return out + quote;
}

std::string python_repr(double number) {
  if (std::isnan(number)) return "nan";
  if (std::isinf(number)) return number < 0 ? "-inf" : "inf";
  // The shortest digits that read back the same, laid out by Python's rule: an exponent below -4
  // or from 16 up is written, otherwise plain digits with at least one behind the point.
  std::array<char, 40> buffer{};
  const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), number,
                                 std::chars_format::scientific)
                       .ptr;
  const std::string_view shortest(buffer.data(), static_cast<size_t>(end - buffer.data()));
  const size_t e = shortest.find('e');
  std::string digits(shortest.substr(0, e));
  const int exponent = std::stoi(std::string(shortest.substr(e + 1)));
  std::string sign;
  if (digits[0] == '-') {
    sign = "-";
    digits.erase(0, 1);
  }
  if (exponent < -4 || exponent >= 16) {
    return sign + digits + base::strf("e%c%02d", exponent < 0 ? '-' : '+', std::abs(exponent));
  }
  if (digits.size() > 1) digits.erase(1, 1);  // the point
  if (exponent < 0) {
    return sign + "0." + std::string(static_cast<size_t>(-exponent - 1), '0') + digits;
  }
  const auto whole = static_cast<size_t>(exponent) + 1;
  if (digits.size() < whole) digits.append(whole - digits.size(), '0');
  const std::string fraction = digits.substr(whole);
  return sign + digits.substr(0, whole) + "." + (fraction.empty() ? "0" : fraction);
}

}  // namespace karat::text
