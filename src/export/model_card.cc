#include "export/model_card.h"

#include <algorithm>
#include <optional>

#include "base/text.h"

namespace karat::exporting {

namespace {

std::string_view trimmed(std::string_view text) {
  const size_t begin = text.find_first_not_of(" \t\r");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t\r") - begin + 1);
}

// The next line of `text`, without its end.
std::string_view next_line(std::string_view& text) {
  const size_t end = std::min(text.find('\n'), text.size());
  std::string_view line = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  if (base::ends_with(line, "\r")) line.remove_suffix(1);
  return line;
}

// A plain or quoted scalar; nothing for whatever needs more of YAML.
std::optional<std::string> scalar(std::string_view text) {
  text = trimmed(text);
  if (text.empty()) return std::nullopt;
  const char first = text.front();
  if (first == '"' || first == '\'') {
    const size_t close = text.find(first, 1);
    if (close == std::string_view::npos || text.find('\\') != std::string_view::npos) {
      return std::nullopt;
    }
    return std::string(text.substr(1, close - 1));
  }
  if (std::string_view("[{|>&*!%@`").find(first) != std::string_view::npos) return std::nullopt;
  text = trimmed(text.substr(0, text.find(" #")));
  if (text.empty() || text.find(": ") != std::string_view::npos || text.back() == ':') {
    return std::nullopt;
  }
  return std::string(text);
}

// "[a, b]"; false if an element is more than a scalar.
bool flow_list(std::string_view text, std::vector<std::string>& out) {
  text = trimmed(text);
  if (text.size() < 2 || text.front() != '[' || text.back() != ']') return false;
  text = text.substr(1, text.size() - 2);
  while (!trimmed(text).empty()) {
    const size_t comma = std::min(text.find(','), text.size());
    const std::optional<std::string> item = scalar(text.substr(0, comma));
    if (!item) return false;
    out.push_back(*item);
    text.remove_prefix(std::min(comma + 1, text.size()));
  }
  return true;
}

}  // namespace

ModelCard parse_model_card(std::string_view text) {
  ModelCard card;
  if (next_line(text) != "---") return card;
  std::string key;
  std::vector<std::string> values;
  bool good = false;
  const auto finish = [&] {
    if (good && !values.empty()) card[key] = std::move(values);
    values.clear();
    good = false;
  };
  while (!text.empty()) {
    const std::string_view line = next_line(text);
    if (line == "---") break;
    const std::string_view content = trimmed(line);
    if (content.empty() || content.front() == '#') continue;
    if (content.front() == '-' && !key.empty()) {
      const std::optional<std::string> item = scalar(content.substr(1));
      good = good && item.has_value();
      if (item) values.push_back(*item);
      continue;
    }
    if (line.front() == ' ' || line.front() == '\t') {  // part of a nested value
      good = false;
      continue;
    }
    finish();
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos) continue;
    key = trimmed(line.substr(0, colon));
    const std::string_view value = trimmed(line.substr(colon + 1));
    if (value.empty()) {
      good = true;
    } else if (const std::optional<std::string> one = scalar(value); one) {
      values.push_back(*one);
      good = true;
    } else {
      good = flow_list(value, values);
    }
  }
  finish();
  return card;
}

}  // namespace karat::exporting
