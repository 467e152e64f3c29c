// Python's str, over UTF-8: positions are code points, white space and letter case are Unicode's.
// Malformed bytes count as one code point each. Case mapping is the simple one (one code point to
// one), except for the sharp s, which Python upper-cases to SS.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace karat::text {

// The code point at byte `at` and its length in bytes; U+FFFD of length 1 for a malformed byte.
struct CodePoint {
  int32_t value = 0;
  size_t bytes = 1;
};
CodePoint code_point_at(std::string_view text, size_t at);
// Start of the code point that ends before byte `end` (> 0).
size_t previous_code_point(std::string_view text, size_t end);

size_t count_code_points(std::string_view text);
// Byte offset of code point number `index`; the text's size if there are not that many.
size_t byte_offset(std::string_view text, size_t index);

bool is_python_space(int32_t code_point);   // str.isspace
bool is_python_letter(int32_t code_point);  // str.isalpha
bool is_python_digit(int32_t code_point);   // str.isdecimal

std::string upper_case(std::string_view text);
std::string lower_case(std::string_view text);
// First code point in upper case, the rest in lower case.
std::string capitalized(std::string_view text);
// str.title: every letter that does not follow a letter in upper case, the others in lower case.
std::string title_case(std::string_view text);
// str.isupper / str.islower: at least one cased letter and none of the other case.
bool is_upper_case(std::string_view text);
bool is_lower_case(std::string_view text);

// The first and past-the-last byte of what str.strip(characters) leaves; null means white space.
struct Stripped {
  size_t begin = 0, end = 0;
};
Stripped stripped(std::string_view text, const std::string_view* characters, bool left, bool right);

// Python's repr of a str, a float.
std::string python_repr(std::string_view text);
std::string python_repr(double number);

void append_utf8(int32_t code_point, std::string& out);

}  // namespace karat::text
