// Small text helpers: formatting, sizes, safe printing of names that come from files.
#pragma once

#include <cstdarg>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace karat::base {

// printf into a string.
[[gnu::format(printf, 1, 2)]] std::string strf(const char* format, ...);
std::string vstrf(const char* format, va_list arguments);

// True if the bytes are well-formed UTF-8 (no surrogates, no overlong forms, at most U+10FFFF).
bool is_utf8(std::string_view bytes);

// The text with control characters, line and direction marks, and malformed UTF-8 replaced by \n,
// \x1b, ... so that a name from a file can be printed on a terminal, reads as it is and stays one
// line; cut with "..." to at most `bytes_max` bytes (>= 3).
std::string printable(std::string_view text, size_t bytes_max = 200);

// "1.23 GiB (1.32 GB)": both units, as every report prints them; below 10 KB plain bytes.
std::string both_units(uint64_t bytes);

// Parses "8G", "2.5GiB", "1000": plain bytes, K M G T (or KB MB ..) powers of 1000, KiB MiB GiB TiB
// of 1024; a fraction is rounded down to whole bytes. Nothing else is accepted.
std::optional<uint64_t> parse_bytes(std::string_view text);

// The candidate closest to `word` in edit distance, if close enough to be a plausible typing error.
// Case, '_' and '-' do not count.
std::optional<std::string> did_you_mean(std::string_view word,
                                        const std::vector<std::string>& candidates);

bool starts_with(std::string_view text, std::string_view prefix);
bool ends_with(std::string_view text, std::string_view suffix);

}  // namespace karat::base
