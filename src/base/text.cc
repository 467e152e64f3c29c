#include "base/text.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cmath>
#include <cstdio>
#include <cstdlib>

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

std::string printable(std::string_view text, size_t bytes_max) {
  std::string out;
  while (!text.empty()) {
    if (out.size() >= bytes_max) return out + "...";
    const size_t length = sequence_length(text);
    const auto byte = static_cast<uint8_t>(text[0]);
    const bool c1_control = length == 2 && byte == 0xC2 && static_cast<uint8_t>(text[1]) < 0xA0;
    if (length == 1 && byte == '\n') {
      out += "\\n";
    } else if (length == 0 || c1_control || (length == 1 && (byte < 0x20 || byte == 0x7F))) {
      out += strf("\\x%02x", byte);
    } else {
      out.append(text.substr(0, length));
      text.remove_prefix(length);
      continue;
    }
    text.remove_prefix(c1_control ? 2 : 1);
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

std::optional<uint64_t> parse_bytes(std::string_view text) {
  const std::string copy(text);
  if (copy.empty() || !std::isdigit(static_cast<unsigned char>(copy[0]))) return std::nullopt;
  char* end = nullptr;
  const double number = std::strtod(copy.c_str(), &end);
  const std::string unit(end);
  static constexpr std::array<const char*, 5> kUnits = {"", "K", "M", "G", "T"};
  for (size_t i = 0; i < kUnits.size(); ++i) {
    const std::string prefix = kUnits[i];
    double factor = 0;
    if (unit == prefix || unit == prefix + "B") factor = std::pow(1000.0, static_cast<double>(i));
    if (i > 0 && unit == prefix + "iB") factor = std::pow(1024.0, static_cast<double>(i));
    if (factor > 0 && number * factor < 9e18) return static_cast<uint64_t>(number * factor);
  }
  return std::nullopt;
}

std::optional<std::string> did_you_mean(std::string_view word,
                                        const std::vector<std::string>& candidates) {
  const auto distance = [](std::string_view a, std::string_view b) {
    std::vector<size_t> row(b.size() + 1);
    for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
    for (size_t i = 1; i <= a.size(); ++i) {
      size_t diagonal = row[0];
      row[0] = i;
      for (size_t j = 1; j <= b.size(); ++j) {
        const size_t substitute = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
        diagonal = row[j];
        row[j] = std::min({row[j] + 1, row[j - 1] + 1, substitute});
      }
    }
    return row[b.size()];
  };
  std::optional<std::string> best;
  size_t best_distance = std::max<size_t>(1, word.size() / 3) + 1;
  for (const std::string& candidate : candidates) {
    const size_t d = distance(word, candidate);
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
