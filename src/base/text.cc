#include "base/text.h"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <utility>

namespace karat::base {

std::string vstrf(const char* format, va_list arguments) {
  va_list copy;
  va_copy(copy, arguments);
  const int size = std::vsnprintf(nullptr, 0, format, copy);
  va_end(copy);
  if (size < 0) return std::string(format);
  std::string text(static_cast<size_t>(size), '\0');
  std::vsnprintf(text.data(), text.size() + 1, format, arguments);
  return text;
}

std::string strf(const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  std::string text = vstrf(format, arguments);
  va_end(arguments);
  return text;
}

namespace {

// Length of the well-formed UTF-8 sequence at the start of `bytes`, or 0 (Unicode 15, table 3-7).
size_t sequence_length(std::string_view bytes) {
  const auto at = [&](size_t i) { return static_cast<uint8_t>(bytes[i]); };
  const auto in = [&](size_t i, uint8_t low, uint8_t high) {
    return i < bytes.size() && at(i) >= low && at(i) <= high;
  };
  const uint8_t lead = at(0);
  if (lead < 0x80) return 1;
  if (lead >= 0xC2 && lead <= 0xDF) return in(1, 0x80, 0xBF) ? 2 : 0;
  if (lead >= 0xE0 && lead <= 0xEF) {
    const uint8_t low = lead == 0xE0 ? 0xA0 : 0x80, high = lead == 0xED ? 0x9F : 0xBF;
    return in(1, low, high) && in(2, 0x80, 0xBF) ? 3 : 0;
  }
  if (lead >= 0xF0 && lead <= 0xF4) {
    const uint8_t low = lead == 0xF0 ? 0x90 : 0x80, high = lead == 0xF4 ? 0x8F : 0xBF;
    return in(1, low, high) && in(2, 0x80, 0xBF) && in(3, 0x80, 0xBF) ? 4 : 0;
  }
  return 0;
}

}  // namespace

bool is_utf8(std::string_view bytes) {
  while (!bytes.empty()) {
    const size_t length = sequence_length(bytes);
    if (length == 0) return false;
    bytes.remove_prefix(length);
  }
  return true;
}

namespace {

// Characters of two or three bytes that would move the cursor, start a line or turn the direction:
// C1 controls, U+200E U+200F U+2028..202E U+2066..2069.
bool is_hidden_control(std::string_view character) {
  const auto at = [&](size_t i) { return static_cast<uint8_t>(character[i]); };
  if (character.size() == 2) return at(0) == 0xC2 && at(1) < 0xA0;
  if (character.size() != 3 || at(0) != 0xE2) return false;
  if (at(1) == 0x80) return at(2) == 0x8E || at(2) == 0x8F || (at(2) >= 0xA8 && at(2) <= 0xAE);
  return at(1) == 0x81 && at(2) >= 0xA6 && at(2) <= 0xA9;
}

std::string escaped(std::string_view bytes) {
  if (bytes == "\n") return "\\n";
  std::string out;
  for (const char c : bytes) out += strf("\\x%02x", static_cast<uint8_t>(c));
  return out;
}

}  // namespace

std::string printable(std::string_view text, size_t bytes_max) {
  std::string out;
  size_t cut = 0;  // the longest prefix of `out` that leaves room for "..."
  while (!text.empty()) {
    const size_t length = sequence_length(text);
    const std::string_view character = text.substr(0, std::max<size_t>(1, length));
    const auto byte = static_cast<uint8_t>(character[0]);
    const bool control = length == 1 && (byte < 0x20 || byte == 0x7F);
    const bool escape = length == 0 || control || is_hidden_control(character);
    out += escape ? escaped(character) : std::string(character);
    if (out.size() > bytes_max) return out.substr(0, cut) + "...";
    if (out.size() + 3 <= bytes_max) cut = out.size();
    text.remove_prefix(character.size());
  }
  return out;
}

std::string both_units(uint64_t bytes) {
  if (bytes < 10000) return strf("%llu bytes", static_cast<unsigned long long>(bytes));
  const double size = static_cast<double>(bytes);
  if (size < 1e6) return strf("%.1f KiB (%.1f KB)", size / 1024, size / 1e3);
  if (size < 1e9) return strf("%.2f MiB (%.2f MB)", size / 1048576, size / 1e6);
  return strf("%.2f GiB (%.2f GB)", size / 1073741824, size / 1e9);
}

namespace {

// What one of a unit is in bytes; 0 for an unknown one.
uint64_t unit_bytes(std::string_view unit) {
  if (unit.empty() || unit == "B") return 1;
  const size_t power = std::string_view("KMGT").find(unit[0]);
  if (power == std::string_view::npos) return 0;
  const std::string_view rest = unit.substr(1);
  if (!rest.empty() && rest != "B" && rest != "iB") return 0;
  uint64_t bytes = 1;
  for (size_t i = 0; i <= power; ++i) bytes *= rest == "iB" ? 1024 : 1000;
  return bytes;
}

}  // namespace

std::optional<uint64_t> parse_bytes(std::string_view text) {
  const size_t whole_end = std::min(text.find_first_not_of("0123456789"), text.size());
  size_t number_end = whole_end;
  if (whole_end < text.size() && text[whole_end] == '.') {
    number_end = std::min(text.find_first_not_of("0123456789", whole_end + 1), text.size());
    if (number_end == whole_end + 1) return std::nullopt;
  }
  const uint64_t unit = unit_bytes(text.substr(number_end));
  uint64_t bytes = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + whole_end, bytes);
  if (error != std::errc() || unit == 0) return std::nullopt;
  if (__builtin_mul_overflow(bytes, unit, &bytes)) return std::nullopt;
  double fraction = 0, place = 1;
  for (size_t i = whole_end + 1; i < number_end; ++i) {
    place /= 10;
    fraction += place * (text[i] - '0');
  }
  const auto part = static_cast<uint64_t>(fraction * static_cast<double>(unit));
  if (__builtin_add_overflow(bytes, part, &bytes)) return std::nullopt;
  return bytes;
}

std::optional<std::string> did_you_mean(std::string_view word,
                                        const std::vector<std::string>& candidates) {
  // Insertions, deletions, substitutions and swaps of neighbours (Damerau 1964, each letter in one
  // edit).
  const auto distance = [](std::string_view a, std::string_view b) {
    std::vector<size_t> before, last, row(b.size() + 1);
    for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
    for (size_t i = 1; i <= a.size(); ++i) {
      before = std::exchange(last, row);
      row[0] = i;
      for (size_t j = 1; j <= b.size(); ++j) {
        const size_t substitute = last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
        row[j] = std::min({last[j] + 1, row[j - 1] + 1, substitute});
        const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
        if (swapped) row[j] = std::min(row[j], before[j - 2] + 1);
      }
    }
    return row[b.size()];
  };
  // Without what typing errors are most often in: "q4km" is Q4_K_M.
  const auto plain = [](std::string_view text) {
    std::string out;
    for (const char c : text) {
      if (c != '_' && c != '-') out += static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
    }
    return out;
  };
  std::optional<std::string> best;
  size_t best_distance = std::max<size_t>(1, word.size() / 3) + 1;
  for (const std::string& candidate : candidates) {
    const size_t d = distance(plain(word), plain(candidate));
    if (d < best_distance) best = candidate, best_distance = d;
  }
  return best;
}

bool starts_with(std::string_view text, std::string_view prefix) {
  return text.substr(0, prefix.size()) == prefix;
}

bool ends_with(std::string_view text, std::string_view suffix) {
  return text.size() >= suffix.size() && text.substr(text.size() - suffix.size()) == suffix;
}

}  // namespace karat::base
