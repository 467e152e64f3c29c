#include "export/model_name.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>
#include <set>
#include <vector>

#include "base/text.h"

namespace karat::exporting {

namespace {

enum class Kind { basename, size_label, finetune, version, type };

struct Part {
  std::string text;
  std::set<Kind> kinds;
};

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_alpha(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
char lower(char c) { return static_cast<char>(std::tolower(static_cast<unsigned char>(c))); }
char upper(char c) { return static_cast<char>(std::toupper(static_cast<unsigned char>(c))); }

std::string lowered(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), lower);
  return out;
}

// Takes digits off the front; false if there are none.
bool skip_digits(std::string_view& text) {
  const size_t before = text.size();
  while (!text.empty() && is_digit(text.front())) text.remove_prefix(1);
  return text.size() < before;
}

// 1, v1.2, iter10: digits and dots behind an optional word.
bool is_version(std::string_view part, bool needs_v) {
  const std::string text = lowered(part);
  std::string_view rest = text;
  const bool has_v = base::starts_with(rest, "v");
  if (has_v) rest.remove_prefix(1);
  if (!has_v && !needs_v && base::starts_with(rest, "iter")) rest.remove_prefix(4);
  if (needs_v && !has_v) return false;
  if (!skip_digits(rest)) return false;
  while (!rest.empty()) {
    if (rest.front() != '.') return false;
    rest.remove_prefix(1);
    if (!skip_digits(rest)) return false;
  }
  return true;
}

// q4_k_m, iq3_xs, f16, bf16, fp32: names of storage types.
bool is_storage_type(std::string_view part) {
  std::string text = lowered(part);
  std::string_view rest = text;
  for (const char* word : {"f16", "f32", "bf16", "bf32", "fp16", "fp32", "bfp16", "bfp32"}) {
    if (text == word) return true;
  }
  if (base::starts_with(rest, "i")) rest.remove_prefix(1);
  if (rest.size() < 2 || rest[0] != 'q' || !is_digit(rest[1])) return false;
  rest.remove_prefix(2);
  while (rest.size() >= 2 && rest[0] == '_' && (is_alpha(rest[1]) || is_digit(rest[1]))) {
    rest.remove_prefix(2);
  }
  return rest.empty();
}

// 35B, A3B, 8x7B, 1_7b, 7b1: a number with a unit.
bool is_numeric_size(std::string_view part) {
  const std::string text = lowered(part);
  std::string_view rest = text;
  if (base::starts_with(rest, "a")) {
    rest.remove_prefix(1);
  } else if (const size_t x = rest.find('x'); x != std::string_view::npos && x > 0) {
    std::string_view count = rest.substr(0, x);
    skip_digits(count);
    if (!count.empty()) return false;
    rest.remove_prefix(x + 1);
  }
  if (!skip_digits(rest)) return false;
  if (!rest.empty() && (rest.front() == '.' || rest.front() == '_')) {
    rest.remove_prefix(1);
    if (!skip_digits(rest)) return false;
  }
  if (rest.empty() || std::string_view("kmbt").find(rest.front()) == std::string_view::npos) {
    return false;
  }
  rest.remove_prefix(1);
  return rest.empty() || (rest.size() == 1 && is_digit(rest.front()));
}

bool is_size(std::string_view part) {
  const std::string text = lowered(part);
  for (const char* word : {"small", "mini", "medium", "large", "xl", "xxl"}) {
    if (text == word) return true;
  }
  return is_numeric_size(part);
}

std::string normal_size(std::string_view part) {
  std::string text(part);
  std::replace(text.begin(), text.end(), '_', '.');
  if (is_digit(text.back()) && text.size() >= 2) {  // 7b1 means 7.1B
    const char digit = text.back(), unit = text[text.size() - 2];
    text.resize(text.size() - 2);
    text += {'.', digit, unit};
  }
  if (text.size() > 1 && is_digit(text[text.size() - 2])) {
    if (std::string_view("kmbt").find(text.back()) != std::string_view::npos) {
      text.back() = upper(text.back());
    }
  }
  return text;
}

// The number a size like 35B stands for; nothing for A3B, 8x7B and words.
std::optional<double> params_of(std::string_view label) {
  if (label.empty()) return std::nullopt;
  const size_t unit = std::string_view(" KMBT").find(label.back());
  label.remove_suffix(1);
  double number = 0;
  const auto [end, error] = std::from_chars(label.data(), label.data() + label.size(), number);
  if (error != std::errc() || end != label.data() + label.size()) return std::nullopt;
  if (unit == std::string_view::npos) return std::nullopt;
  return number * std::pow(1000.0, static_cast<double>(unit));
}

bool is_far(double params, int64_t total) {
  return std::fabs(params - static_cast<double>(total)) > static_cast<double>(7 * total / 8);
}

// A following A3B that is near the total: a vision file of a mixture of experts has about as many
// parameters as one token uses, and the size before it then still is the model's.
bool active_size_is_near(const std::vector<Part>& parts, size_t next, int64_t total) {
  if (next >= parts.size() || !is_numeric_size(parts[next].text)) return false;
  const std::string label = normal_size(parts[next].text);
  if (lower(label.front()) != 'a') return false;
  const std::optional<double> params = params_of(std::string_view(label).substr(1));
  return params && !is_far(*params, total);
}

void annotate(std::vector<Part>& parts, int64_t total_params) {
  for (size_t i = 0; i < parts.size(); ++i) {
    Part& part = parts[i];
    const std::string word = lowered(part.text);
    if (is_version(part.text, false)) {
      part.kinds.insert(Kind::version);
    } else if (is_storage_type(part.text)) {
      part.kinds.insert(Kind::type);
      std::transform(part.text.begin(), part.text.end(), part.text.begin(), upper);
    } else if (i > 0 && is_size(part.text)) {
      part.text = normal_size(part.text);
      const std::optional<double> params = params_of(part.text);
      if (total_params > 0 && params && is_far(*params, total_params) &&
          !active_size_is_near(parts, i + 1, total_params)) {
        part.kinds.insert(Kind::finetune);
        part.text.back() = lower(part.text.back());
      } else {
        part.kinds.insert(Kind::size_label);
      }
    } else if (i > 0 &&
               (word == "chat" || word == "instruct" || word == "vision" || word == "lora")) {
      part.kinds.insert(Kind::finetune);
    }
  }
  // Words count as sizes only where no number does.
  const bool numeric = std::any_of(parts.begin(), parts.end(), [](const Part& part) {
    return part.kinds.contains(Kind::size_label) &&
           std::any_of(part.text.begin(), part.text.end(), is_digit);
  });
  for (Part& part : parts) {
    if (numeric && std::all_of(part.text.begin(), part.text.end(), is_alpha)) {
      part.kinds.erase(Kind::size_label);
    }
  }
}

// The words in front are the basename; later words without a kind tell the finetune.
void find_basename(std::vector<Part>& parts) {
  bool at_start = true;
  for (Part& part : parts) {
    const bool word = part.kinds.empty() && is_alpha(part.text[0]);
    if (at_start && (word || part.kinds.contains(Kind::version))) {
      part.kinds.insert(Kind::basename);
      continue;
    }
    at_start = false;
    if (part.kinds.empty()) part.kinds.insert(Kind::finetune);
  }
  for (auto part = parts.rbegin(); part != parts.rend(); ++part) {
    if (!part->kinds.contains(Kind::basename) || part->kinds.size() < 2) break;
    part->kinds.erase(Kind::basename);
  }
}

template <class Predicate>
std::optional<std::string> joined(const std::vector<Part>& parts, Predicate wanted) {
  std::string out;
  for (const Part& part : parts) {
    if (!wanted(part)) continue;
    if (!out.empty()) out += '-';
    out += part.text;
  }
  return out.empty() ? std::nullopt : std::optional(out);
}

}  // namespace

NameParts split_model_name(std::string_view id, int64_t total_params) {
  NameParts out;
  if (id.find(' ') != std::string_view::npos) {
    out.name = id;
    return out;
  }
  if (const size_t slash = id.find('/'); slash != std::string_view::npos) {
    const std::string_view organization = id.substr(0, slash);
    if (organization.empty() || organization[0] != '.') out.organization = organization;
    id.remove_prefix(slash + 1);
  }
  out.name = id;
  std::vector<Part> parts;
  while (!id.empty()) {
    const size_t dash = std::min(id.find('-'), id.size());
    if (dash > 0) parts.push_back({std::string(id.substr(0, dash)), {}});
    id.remove_prefix(std::min(dash + 1, id.size()));
  }
  annotate(parts, total_params);
  find_basename(parts);
  const auto has = [](Kind kind) {
    return [kind](const Part& part) { return part.kinds.contains(kind); };
  };
  std::set<std::string> seen;
  out.size_label = joined(parts, [&](const Part& part) {
    return part.kinds.contains(Kind::size_label) && seen.insert(part.text).second;
  });
  out.finetune = joined(parts, has(Kind::finetune));
  out.version = joined(parts, [](const Part& part) {
    return part.kinds.contains(Kind::version) && !part.kinds.contains(Kind::basename);
  });
  // A name without any of these is too vague to be taken apart.
  if (out.size_label || out.finetune || out.version)
    out.basename = joined(parts, has(Kind::basename));
  return out;
}

std::string title_of(std::string_view name) {
  std::string out, word;
  const auto flush = [&] {
    if (word.empty()) return;
    const bool cased = std::any_of(word.begin(), word.end(), is_alpha);
    const bool no_capital =
        std::none_of(word.begin(), word.end(), [](char c) { return c >= 'A' && c <= 'Z'; });
    if (cased && no_capital && !is_digit(word[0]) && !is_version(word, true)) {
      bool inside = false;
      for (char& c : word) {
        if (!inside) c = upper(c);
        inside = is_alpha(c);
      }
    }
    out += (out.empty() ? "" : " ") + word;
    word.clear();
  };
  for (const char c : name) {
    if (c == '-' || std::isspace(static_cast<unsigned char>(c)) != 0) {
      flush();
    } else {
      word += c;
    }
  }
  flush();
  return out;
}

std::string rounded_count(double params) {
  struct Unit {
    double above, scale;
    char name;
  };
  for (const Unit& unit :
       {Unit{1e12, 1e-12, 'T'}, Unit{1e9, 1e-9, 'B'}, Unit{1e6, 1e-6, 'M'}, Unit{-1, 1e-3, 'K'}}) {
    if (params <= unit.above) continue;
    const double scaled = params * unit.scale;
    const double whole = std::nearbyint(scaled);
    const int digits = whole < 1 ? 0 : whole < 10 ? 1 : 2;
    return base::strf("%.*f%c", 2 - digits, scaled, unit.name);
  }
  return "0K";
}

}  // namespace karat::exporting
