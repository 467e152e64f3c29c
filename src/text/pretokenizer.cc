#include "text/pretokenizer.h"

#include "text/unicode.h"

namespace karat::text {

namespace {

// Each match_* is one alternative of the regular expression, tried in this order: the end of its
// match at `begin`, or `begin` if it does not match.
class Splitter {
 public:
  explicit Splitter(std::string_view text) : text_(text) {}

  size_t match(size_t begin) const {
    for (const auto alternative :
         {&Splitter::match_contraction, &Splitter::match_word, &Splitter::match_number,
          &Splitter::match_punctuation, &Splitter::match_space}) {
      const size_t end = (this->*alternative)(begin);
      if (end > begin) return end;
    }
    return begin;
  }

 private:
  struct Char {
    char32_t code = 0;
    CharClass kind = CharClass::other;
    size_t end = 0;
  };

  // Whether there is a character at `position`, and if so, which.
  bool at(size_t position, Char& out) const {
    if (position >= text_.size()) return false;
    out.end = position;
    out.code = next_char(text_, out.end);
    out.kind = char_class(out.code);
    return true;
  }

  template <class Predicate>
  size_t skip(size_t position, Predicate predicate) const {
    for (Char c; at(position, c) && predicate(c.kind);) position = c.end;
    return position;
  }

  static bool is_word(CharClass kind) {
    return kind == CharClass::letter || kind == CharClass::mark;
  }
  static bool is_space(CharClass kind) {
    return kind == CharClass::space || kind == CharClass::newline;
  }

  // (?i:'s|'t|'re|'ve|'m|'ll|'d)
  size_t match_contraction(size_t begin) const {
    Char c;
    if (text_[begin] != '\'' || !at(begin + 1, c)) return begin;
    const auto folded =
        [&]() -> char32_t {  // simple case folding, as far as it reaches these letters
      if (c.code == 0x17F) return 's';
      return c.code >= 'A' && c.code <= 'Z' ? c.code + 32 : c.code;
    };
    const char32_t first = folded();
    if (first == 's' || first == 't' || first == 'm' || first == 'd') return c.end;
    if (first != 'r' && first != 'v' && first != 'l') return begin;
    if (!at(c.end, c)) return begin;
    return folded() == (first == 'l' ? U'l' : U'e') ? c.end : begin;
  }

  // [^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+
  size_t match_word(size_t begin) const {
    Char c;
    at(begin, c);
    if (c.kind == CharClass::newline || c.kind == CharClass::number) return begin;
    const size_t end = skip(c.end, is_word);
    return is_word(c.kind) || end > c.end ? end : begin;
  }

  // \p{N}
  size_t match_number(size_t begin) const {
    Char c;
    at(begin, c);
    return c.kind == CharClass::number ? c.end : begin;
  }

  //  ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*
  size_t match_punctuation(size_t begin) const {
    const size_t first = text_[begin] == ' ' ? begin + 1 : begin;
    const size_t end = skip(first, [](CharClass kind) { return kind == CharClass::other; });
    if (end == first) return begin;
    return skip(end, [](CharClass kind) { return kind == CharClass::newline; });
  }

  // \s*[\r\n]+|\s+(?!\S)|\s+
  size_t match_space(size_t begin) const {
    size_t end = begin, last_begin = begin, newline_end = begin;
    for (Char c; at(end, c) && is_space(c.kind);) {
      last_begin = end;
      end = c.end;
      if (c.kind == CharClass::newline) newline_end = end;
    }
    if (newline_end > begin) return newline_end;
    // Before something visible, the last blank is left to it, unless it is the only one.
    return end < text_.size() && last_begin > begin ? last_begin : end;
  }

  std::string_view text_;
};

}  // namespace

std::vector<std::string_view> split(std::string_view text) {
  const Splitter splitter(text);
  std::vector<std::string_view> pieces;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = splitter.match(begin);
    pieces.push_back(text.substr(begin, end - begin));
    begin = end;
  }
  return pieces;
}

}  // namespace karat::text
