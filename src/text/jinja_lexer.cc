#include "text/jinja_lexer.h"

#include <algorithm>
#include <array>
#include <optional>

#include "base/error.h"
#include "base/text.h"
#include "text/python_text.h"

namespace karat::text {

namespace {

bool is_ascii_digit(char c) { return c >= '0' && c <= '9'; }
bool is_name_start(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
         static_cast<unsigned char>(c) >= 0x80;
}
bool is_name_part(char c) { return is_name_start(c) || is_ascii_digit(c); }

// Line breaks as \n, without one at the very end.
std::string normalized(std::string_view source) {
  std::string out;
  out.reserve(source.size());
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] == '\r') {
      out += '\n';
      if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
    } else {
      out += source[i];
    }
  }
  if (!out.empty() && out.back() == '\n') out.pop_back();
  return out;
}

class Lexer {
 public:
  Lexer(std::string_view source, std::string_view name, size_t tokens_max)
      : source_(normalized(source)), name_(name), tokens_max_(tokens_max) {}

  std::vector<Token> run() {
    while (at_ < source_.size()) data();
    add(Token::Kind::end, "");
    return std::move(tokens_);
  }

 private:
  [[noreturn]] void fail(const std::string& message) const {
    throw base::fail(base::ErrorKind::bad_input, "%s, line %d: %s", name_.c_str(), line_,
                     message.c_str());
  }

  void add(Token::Kind kind, std::string text) {
    if (tokens_.size() >= tokens_max_) {
      fail(base::strf("the template is too long (more than %zu tokens)", tokens_max_));
    }
    tokens_.push_back({kind, std::move(text), line_});
  }

  // Moves on to `end`, counting lines.
  void advance(size_t end) {
    line_ += static_cast<int>(std::count(source_.begin() + static_cast<std::ptrdiff_t>(at_),
                                         source_.begin() + static_cast<std::ptrdiff_t>(end), '\n'));
    line_starting_ = end > 0 && source_[end - 1] == '\n';
    at_ = end;
  }

  bool looking_at(std::string_view text) const {
    return source_.compare(at_, text.size(), text) == 0;
  }

  char peek(size_t ahead = 0) const {
    return at_ + ahead < source_.size() ? source_[at_ + ahead] : '\0';
  }

  // The end of the white space that starts at `at`.
  size_t skip_space(size_t at) const {
    while (at < source_.size()) {
      const CodePoint point = code_point_at(source_, at);
      if (!is_python_space(point.value)) break;
      at += point.bytes;
    }
    return at;
  }

  // Where the next tag starts; npos if there is none.
  size_t next_tag() const {
    for (size_t at = source_.find('{', at_); at != std::string::npos;
         at = source_.find('{', at + 1)) {
      if (at + 1 < source_.size() &&
          (source_[at + 1] == '{' || source_[at + 1] == '%' || source_[at + 1] == '#')) {
        return at;
      }
    }
    return std::string::npos;
  }

  // Text up to a tag that begins with `sign` ('-', '+' or anything else): '-' strips all white
  // space before the tag; without a sign, blanks between the start of the line and a tag that is
  // not a variable go too.
  std::string_view before_tag(size_t tag, char sign, bool variable) const {
    const std::string_view text = std::string_view(source_).substr(at_, tag - at_);
    if (sign == '-') return text.substr(0, stripped(text, nullptr, false, true).end);
    if (sign == '+' || variable) return text;
    const size_t line_break = text.rfind('\n');
    const size_t start = line_break == std::string_view::npos ? 0 : line_break + 1;
    if (start == 0 && !line_starting_) return text;
    const std::string_view rest = text.substr(start);
    return stripped(rest, nullptr, false, true).end == 0 ? text.substr(0, start) : text;
  }

  void add_data(std::string_view text) {
    if (!text.empty()) add(Token::Kind::data, std::string(text));
  }

  // Text and the tag after it.
  void data() {
    const size_t tag = next_tag();
    if (tag == std::string::npos) {
      add_data(std::string_view(source_).substr(at_));
      advance(source_.size());
      return;
    }
    const char kind = source_[tag + 1];
    const char sign = tag + 2 < source_.size() ? source_[tag + 2] : '\0';
    const size_t inside = tag + (sign == '-' || sign == '+' ? 3 : 2);
    add_data(before_tag(tag, sign, kind == '{'));
    advance(tag);
    if (kind == '#') {
      comment(inside);
    } else if (kind == '{') {
      add(Token::Kind::variable_begin, "");
      advance(inside);
      expression('}', '}', Token::Kind::variable_end, false);
    } else if (const auto end = raw_begin(inside)) {
      raw(*end);
    } else {
      add(Token::Kind::block_begin, "");
      advance(inside);
      expression('%', '}', Token::Kind::block_end, true);
    }
  }

  void comment(size_t inside) {
    const size_t close = source_.find("#}", inside);
    if (close == std::string::npos) fail("a comment is not closed");
    const char sign = close > inside ? source_[close - 1] : '\0';
    size_t end = close + 2;
    if (sign == '-') {
      end = skip_space(end);
    } else if (sign != '+' && end < source_.size() && source_[end] == '\n') {
      ++end;
    }
    advance(end);
  }

  // If a raw tag opens here, the end of that tag.
  std::optional<size_t> raw_begin(size_t inside) const {
    const size_t word = skip_space(inside);
    if (source_.compare(word, 3, "raw") != 0) return std::nullopt;
    const size_t after = skip_space(word + 3);
    if (source_.compare(after, 2, "%}") == 0) return after + 2;
    if (source_.compare(after, 3, "-%}") == 0) return skip_space(after + 3);
    return std::nullopt;
  }

  // Text up to {% endraw %}, as it is.
  void raw(size_t begin) {
    advance(begin);
    for (size_t tag = source_.find("{%", at_); tag != std::string::npos;
         tag = source_.find("{%", tag + 2)) {
      const char sign = tag + 2 < source_.size() ? source_[tag + 2] : '\0';
      const size_t word = skip_space(tag + (sign == '-' || sign == '+' ? 3 : 2));
      if (source_.compare(word, 6, "endraw") != 0) continue;
      size_t end = skip_space(word + 6);
      if (source_.compare(end, 2, "%}") == 0) {
        end += 2;
        if (end < source_.size() && source_[end] == '\n') ++end;
      } else if (source_.compare(end, 3, "-%}") == 0) {
        end = skip_space(end + 3);
      } else if (source_.compare(end, 3, "+%}") == 0) {
        end += 3;
      } else {
        continue;
      }
      add_data(before_tag(tag, sign, false));
      advance(end);
      return;
    }
    fail("{% raw %} is not closed");
  }

  // If the tag closes here, the end of it and of the white space that goes with it.
  std::optional<size_t> tag_end(char first, char second, bool trim) const {
    const char sign = peek();
    const size_t at = at_ + (sign == '-' || (trim && sign == '+') ? 1 : 0);
    if (at + 1 >= source_.size() || source_[at] != first || source_[at + 1] != second) {
      return std::nullopt;
    }
    size_t end = at + 2;
    if (sign == '-') return skip_space(end);
    if (trim && sign != '+' && end < source_.size() && source_[end] == '\n') ++end;
    return end;
  }

  // Tokens up to the end of the tag. Inside brackets }} closes dicts, not the tag.
  void expression(char first, char second, Token::Kind kind, bool trim) {
    const int opened = line_;
    brackets_.clear();
    for (;;) {
      advance(skip_space(at_));
      if (at_ >= source_.size()) {
        line_ = opened;
        fail("a tag is not closed");
      }
      if (brackets_.empty()) {
        if (const auto end = tag_end(first, second, trim)) {
          add(kind, "");
          advance(*end);
          return;
        }
      }
      token();
    }
  }

  void token() {
    const char c = peek();
    if (is_name_start(c)) {
      size_t end = at_;
      while (end < source_.size() && is_name_part(source_[end])) ++end;
      add(Token::Kind::name, source_.substr(at_, end - at_));
      advance(end);
    } else if (is_ascii_digit(c)) {
      number();
    } else if (c == '\'' || c == '"') {
      string(c);
    } else {
      symbol();
    }
  }

  void symbol() {
    static constexpr std::array<std::string_view, 6> kPairs = {"//", "**", "==", "!=", ">=", "<="};
    for (const std::string_view pair : kPairs) {
      if (!looking_at(pair)) continue;
      add(Token::Kind::symbol, std::string(pair));
      advance(at_ + 2);
      return;
    }
    const char c = peek();
    if (std::string_view("+-*/%~()[]{},.:;|=<>").find(c) == std::string_view::npos) {
      fail("unexpected character '" +
           base::printable(
               std::string_view(source_).substr(at_, code_point_at(source_, at_).bytes)) +
           "'");
    }
    if (c == '(' || c == '[' || c == '{') brackets_ += c == '(' ? ')' : c == '[' ? ']' : '}';
    if (c == ')' || c == ']' || c == '}') {
      if (brackets_.empty() || brackets_.back() != c) fail(std::string("unexpected '") + c + "'");
      brackets_.pop_back();
    }
    add(Token::Kind::symbol, std::string(1, c));
    advance(at_ + 1);
  }

  // Digits with single underscores between them, from `at`; the end of them.
  size_t digits(size_t at) const {
    while (at < source_.size() &&
           (is_ascii_digit(source_[at]) ||
            (source_[at] == '_' && at + 1 < source_.size() && is_ascii_digit(source_[at + 1])))) {
      ++at;
    }
    return at;
  }

  void number() {
    // After a dot (x.0.1) only an integer can follow.
    const bool after_dot = at_ > 0 && source_[at_ - 1] == '.';
    size_t end = digits(at_);
    bool real = false;
    if (!after_dot) {
      const auto digit_at = [&](size_t at) {
        return at < source_.size() && is_ascii_digit(source_[at]);
      };
      if (end < source_.size() && source_[end] == '.' && digit_at(end + 1)) {
        end = digits(end + 1);
        real = true;
      }
      if (end < source_.size() && (source_[end] == 'e' || source_[end] == 'E')) {
        const size_t sign =
            end + 1 < source_.size() && (source_[end + 1] == '+' || source_[end + 1] == '-') ? 1
                                                                                             : 0;
        if (digit_at(end + 1 + sign)) {
          end = digits(end + 1 + sign);
          real = true;
        }
      }
    }
    std::string text = source_.substr(at_, end - at_);
    text.erase(std::remove(text.begin(), text.end(), '_'), text.end());
    if (end < source_.size() && is_name_start(source_[end])) {
      fail("'" + base::printable(text + source_[end]) + "' is no number");
    }
    add(real ? Token::Kind::real : Token::Kind::integer, std::move(text));
    advance(end);
  }

  void string(char quote) {
    size_t end = at_ + 1;
    while (end < source_.size() && source_[end] != quote) end += source_[end] == '\\' ? 2 : 1;
    if (end >= source_.size()) fail("a string is not closed");
    add(Token::Kind::string, unescaped(std::string_view(source_).substr(at_ + 1, end - at_ - 1)));
    advance(end + 1);
  }

  // Python's escapes; an unknown one keeps its backslash.
  std::string unescaped(std::string_view text) const {
    static constexpr std::string_view kSimple = "n\nt\tr\r\\\\''\"\"a\ab\bf\fv\v";
    std::string out;
    for (size_t i = 0; i < text.size(); ++i) {
      if (text[i] != '\\' || i + 1 >= text.size()) {
        out += text[i];
        continue;
      }
      const char c = text[++i];
      bool known = c == '\n';  // backslash and line break: nothing
      for (size_t k = 0; k < kSimple.size() && !known; k += 2) {
        if (c != kSimple[k]) continue;
        out += kSimple[k + 1];
        known = true;
      }
      if (known) continue;
      if (const size_t used = numeric_escape(text.substr(i), out)) {
        i += used - 1;
      } else {
        out += '\\';
        out += c;
      }
    }
    return out;
  }

  // \xNN \uNNNN \UNNNNNNNN \NNN; returns the characters used after the backslash, or 0.
  size_t numeric_escape(std::string_view text, std::string& out) const {
    const char c = text[0];
    const bool octal = c >= '0' && c <= '7';
    const size_t skip = octal ? 0 : 1;
    const size_t most = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : octal ? 3 : 0;
    if (most == 0) return 0;
    uint32_t value = 0;
    size_t count = 0;
    for (; count < most && skip + count < text.size(); ++count) {
      const char d = text[skip + count];
      const auto lower = static_cast<char>(d | 0x20);
      const bool fits =
          octal ? d >= '0' && d <= '7' : is_ascii_digit(d) || (lower >= 'a' && lower <= 'f');
      if (!fits) break;
      const auto digit = static_cast<uint32_t>(is_ascii_digit(d) ? d - '0' : lower - 'a' + 10);
      value = value * (octal ? 8 : 16) + digit;
    }
    if ((!octal && count < most) || value > 0x10FFFF || (value >= 0xD800 && value < 0xE000)) {
      fail("a string has a malformed escape");
    }
    append_utf8(static_cast<int32_t>(value), out);
    return skip + count;
  }

  std::string source_;
  std::string name_;
  size_t tokens_max_;
  size_t at_ = 0;
  int line_ = 1;
  bool line_starting_ = true;
  std::string brackets_;  // the closing ones expected, innermost last
  std::vector<Token> tokens_;
};

}  // namespace

std::vector<Token> tokenize_template(std::string_view source, std::string_view name,
                                     size_t tokens_max) {
  return Lexer(source, name, tokens_max).run();
}

}  // namespace karat::text
