// The little of Unicode that tokenization and the comparison of texts need: UTF-8 with repair,
// general categories, case and NFC, over the tables of utf8proc.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace karat::text {

// What the pre-tokenizer asks of a code point.
enum class CharClass : uint8_t {
  letter,   // general category L*
  mark,     // M*
  number,   // N*
  newline,  // CR, LF
  space,    // other characters with the property White_Space
  other,
};
CharClass char_class(char32_t c);

// The code point in lower case (one to one, without regard to language or position).
char32_t lower_case(char32_t c);

// The code point at `position` of well-formed UTF-8, which is moved behind it.
char32_t next_char(std::string_view text, size_t& position);
void append_utf8(char32_t c, std::string& out);

// Makes any bytes well-formed UTF-8, piece by piece: each maximal subpart of an ill-formed sequence
// becomes one U+FFFD, as in Python's and Rust's lossy decoders.
class Utf8Repair {
 public:
  // Appends to `out` what is certain so far; an incomplete character is kept for the next call. So
  // are the first two bytes of an encoded surrogate, which Python's incremental decoder keeps as
  // well.
  void push(std::string_view bytes, std::string& out);
  // Ends the text: U+FFFD for what was kept.
  void flush(std::string& out);

 private:
  bool keeps_surrogate() const;

  std::array<char, 4> kept_{};  // a prefix of a well-formed character or of a surrogate
  size_t kept_size_ = 0;
};
std::string repair_utf8(std::string_view bytes);

// Unicode normalization form C of well-formed UTF-8, in time linear in the text but for the sorting
// of runs of combining marks.
std::string nfc(std::string_view text);

}  // namespace karat::text
