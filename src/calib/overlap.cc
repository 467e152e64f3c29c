#include "calib/overlap.h"

#include <algorithm>
#include <charconv>

#include "base/error.h"
#include "base/rng.h"
#include "text/unicode.h"

namespace karat::calib {

namespace {

constexpr size_t kLongGram = 13, kShortGram = 8, kCharacters = 50;
// Any 50 characters hold one of the windows of 25 that begin at multiples of 26.
constexpr size_t kWindow = 25, kStride = kCharacters - kWindow + 1;
constexpr uint64_t kBase = 0x9E3779B97F4A7C15U;  // odd: powers of it never become 0

uint64_t mixed(uint64_t value) { return base::Rng(value).next(); }

bool is_word_by_itself(char32_t c) {
  return (c >= 0x3040 && c <= 0x30FF) || (c >= 0x3400 && c <= 0x4DBF) ||
         (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0xF900 && c <= 0xFAFF) ||
         (c >= 0x20000 && c <= 0x3FFFF);
}

constexpr int kEscapeLevels = 3;

// The code unit that four hexadecimal digits at `at` say; nothing if they are none.
std::optional<char32_t> code_unit(std::string_view text, size_t at) {
  uint16_t value = 0;
  if (at + 4 > text.size()) return {};
  const char* end = text.data() + at + 4;
  const auto result = std::from_chars(text.data() + at, end, value, 16);
  if (result.ptr != end || result.ec != std::errc()) return {};
  return value;
}

bool is_within(char32_t c, char32_t low, char32_t high) { return c >= low && c <= high; }

// Appends what the "\u" at text[at] says, and returns how many bytes it takes; 0 if it says
// nothing. Halves of pairs stay halves; the UTF-8 made of them is repaired later.
size_t append_unicode_escape(std::string_view text, size_t at, std::string& out) {
  const auto first = code_unit(text, at + 2);
  if (!first) return 0;
  if (is_within(*first, 0xD800, 0xDBFF) && text.substr(at + 6, 2) == "\\u") {
    const auto second = code_unit(text, at + 8);
    if (second && is_within(*second, 0xDC00, 0xDFFF)) {
      text::append_utf8(0x10000 + ((*first - 0xD800) << 10) + (*second - 0xDC00), out);
      return 12;
    }
  }
  text::append_utf8(is_within(*first, 0xD800, 0xDFFF) ? 0xFFFD : *first, out);
  return 6;
}

// The text with JSON's escapes undone, but for \b and \f, which mean nothing but TeX's \beta and
// \frac in practice; nothing if there are none.
std::optional<std::string> without_escapes(std::string_view text) {
  constexpr std::string_view kLetters = "ntr\"\\/", kMeanings = "\n\t\r\"\\/";
  std::string out;
  bool any = false;
  size_t done = 0;  // of text, copied to out
  for (size_t at = text.find('\\'); at < text.size(); at = text.find('\\', at)) {
    out += text.substr(done, at - done);
    size_t taken = 0;
    const size_t letter = at + 1 < text.size() ? kLetters.find(text[at + 1]) : kLetters.npos;
    if (letter != kLetters.npos) {
      out += kMeanings[letter];
      taken = 2;
    } else if (text.substr(at + 1, 1) == "u") {
      taken = append_unicode_escape(text, at, out);
    }
    any = any || taken > 0;
    done = at + taken;
    at += std::max<size_t>(taken, 1);
  }
  if (!any) return {};
  return out.append(text.substr(done));
}

// Calls body(text) for the text as it is, then with its escapes undone once, twice, ...; until it
// returns true.
template <class Body>
void for_levels(std::string_view text, const Body& body) {
  if (body(text)) return;
  std::optional<std::string> level;
  for (int i = 0; i < kEscapeLevels; ++i) {
    auto next = without_escapes(level ? std::string_view(*level) : text);
    if (!next) return;
    level = std::move(next);
    if (body(std::string_view(*level))) return;
  }
}

struct Normalised {
  std::vector<std::u32string> words;
  std::u32string characters;
};

Normalised normalise(std::string_view raw) {
  Normalised out;
  const std::string text = text::nfc(text::repair_utf8(raw));
  bool in_word = false;
  for (size_t at = 0; at < text.size();) {
    const char32_t c = text::lower_case(text::next_char(text, at));
    const text::CharClass kind = text::char_class(c);
    if (kind != text::CharClass::letter && kind != text::CharClass::mark &&
        kind != text::CharClass::number) {
      in_word = false;
      continue;
    }
    const bool alone = is_word_by_itself(c);
    if (!in_word || alone) out.words.emplace_back();
    out.words.back().push_back(c);
    out.characters.push_back(c);
    in_word = !alone;
  }
  return out;
}

std::vector<uint64_t> hashes_of(const std::vector<std::u32string>& words) {
  std::vector<uint64_t> out;
  out.reserve(words.size());
  for (const std::u32string& word : words) {
    uint64_t hash = word.size();
    for (const char32_t c : word) hash = mixed(hash ^ c);
    out.push_back(hash);
  }
  return out;
}

uint64_t gram_hash(const std::vector<uint64_t>& words, size_t first, size_t size) {
  uint64_t hash = size;
  for (size_t i = first; i < first + size; ++i) hash = mixed(hash ^ words[i]);
  return hash;
}

// Hash of characters [first, first + kWindow) as a polynomial, so that it can roll.
uint64_t window_hash(const std::u32string& text, size_t first) {
  uint64_t hash = 0;
  for (size_t i = first; i < first + kWindow; ++i) hash = hash * kBase + mixed(text[i]);
  return hash;
}

std::string as_utf8(const std::u32string& text) {
  std::string out;
  for (const char32_t c : text) text::append_utf8(c, out);
  return out;
}

std::u32string joined(const std::vector<std::u32string>& words, size_t first, size_t size) {
  std::u32string out;
  for (size_t i = first; i < first + size; ++i) out += (i > first ? U" " : U"") + words[i];
  return out;
}

}  // namespace

void OverlapIndex::HashIndex::finish(bool one_each) {
  std::sort(entries_.begin(), entries_.end(), [](const Entry& a, const Entry& b) {
    if (a.hash != b.hash) return a.hash < b.hash;
    return a.text != b.text ? a.text < b.text : a.position < b.position;
  });
  if (one_each) {
    const auto same = [](const Entry& a, const Entry& b) { return a.hash == b.hash; };
    entries_.erase(std::unique(entries_.begin(), entries_.end(), same), entries_.end());
  }
  begins_.assign((size_t{1} << 16) + 1, 0);
  for (const Entry& entry : entries_) ++begins_[(entry.hash >> 48) + 1];
  for (size_t i = 1; i < begins_.size(); ++i) begins_[i] += begins_[i - 1];
}

std::pair<const OverlapIndex::HashIndex::Entry*, const OverlapIndex::HashIndex::Entry*>
OverlapIndex::HashIndex::find(uint64_t hash) const {
  const Entry* first = entries_.data() + begins_[hash >> 48];
  const Entry* last = entries_.data() + begins_[(hash >> 48) + 1];
  first = std::lower_bound(first, last, hash,
                           [](const Entry& entry, uint64_t value) { return entry.hash < value; });
  const Entry* end = first;
  while (end != last && end->hash == hash) ++end;
  return {first, end};
}

void OverlapIndex::add(const std::string& set, int64_t item,
                       const std::vector<std::string>& texts) {
  if (sets_.empty() || sets_.back() != set) sets_.push_back(set);
  ++items_;
  bool covered = false;
  for (const std::string& text : texts) {
    for_levels(text, [&](std::string_view level) {
      if (add_text(level, static_cast<uint32_t>(sets_.size() - 1), item)) covered = true;
      return false;
    });
  }
  if (!covered) ++too_short_;
}

bool OverlapIndex::add_text(std::string_view text, uint32_t set, int64_t item) {
  Normalised normal = normalise(text);
  const auto index = static_cast<uint32_t>(texts_.size());
  const std::vector<uint64_t> words = hashes_of(normal.words);
  const size_t size = words.size() >= kLongGram ? kLongGram : kShortGram;
  HashIndex& grams = size == kLongGram ? long_grams_ : short_grams_;
  for (size_t i = 0; i + size <= words.size(); ++i) {
    grams.add({gram_hash(words, i, size), index, static_cast<uint32_t>(i)});
  }
  if (normal.characters.size() >= kCharacters) add_windows(normal.characters, index);
  const bool covered = words.size() >= kShortGram || normal.characters.size() >= kCharacters;
  texts_.push_back({set, item, std::move(normal.characters)});
  return covered;
}

// A window that stands in the same surroundings elsewhere finds nothing that the other does not:
// what repeats itself (rows of zeros, boilerplate) is looked at once.
void OverlapIndex::add_windows(const std::u32string& characters, uint32_t text) {
  for (size_t i = 0; i + kWindow <= characters.size(); i += kStride) {
    const size_t begin = i - std::min(i, kCharacters - kWindow);
    uint64_t around = i - begin;
    for (size_t c = begin; c < std::min(i + kCharacters, characters.size()); ++c) {
      around = mixed(around ^ characters[c]);
    }
    if (!surroundings_.insert(around).second) continue;
    windows_.add({window_hash(characters, i), text, static_cast<uint32_t>(i)});
  }
}

void OverlapIndex::finish() {
  surroundings_.clear();
  long_grams_.finish(true);
  short_grams_.finish(true);
  windows_.finish(false);
}

std::optional<OverlapHit> OverlapIndex::find(std::string_view text) const {
  std::optional<OverlapHit> found;
  for_levels(text, [&](std::string_view level) {
    found = find_in(level);
    return found.has_value();
  });
  return found;
}

std::optional<OverlapHit> OverlapIndex::find_in(std::string_view text) const {
  const Normalised normal = normalise(text);
  if (auto found = find_grams(long_grams_, kLongGram, "13-gram", normal.words)) return found;
  if (auto found = find_grams(short_grams_, kShortGram, "8-gram", normal.words)) return found;
  return find_characters(normal.characters);
}

std::optional<OverlapHit> OverlapIndex::find_grams(const HashIndex& index, size_t size,
                                                   const char* filter,
                                                   const std::vector<std::u32string>& words) const {
  const std::vector<uint64_t> hashes = hashes_of(words);
  for (size_t i = 0; i + size <= hashes.size(); ++i) {
    const auto [first, last] = index.find(gram_hash(hashes, i, size));
    if (first != last) return hit(filter, first->text, joined(words, i, size));
  }
  return {};
}

std::optional<OverlapHit> OverlapIndex::find_characters(const std::u32string& characters) const {
  if (characters.size() < kCharacters) return {};
  uint64_t hash = window_hash(characters, 0), power = 1;
  for (size_t i = 1; i < kWindow; ++i) power *= kBase;
  for (size_t i = 0;; ++i) {
    const auto [first, last] = windows_.find(hash);
    for (const HashIndex::Entry* entry = first; entry != last; ++entry) {
      // How far the two texts agree around the window.
      const std::u32string& other = texts_[entry->text].characters;
      const size_t at = entry->position;
      size_t before = 0, after = 0;
      while (before < i && before < at && characters[i - before - 1] == other[at - before - 1]) {
        ++before;
      }
      while (i + after < characters.size() && at + after < other.size() &&
             characters[i + after] == other[at + after]) {
        ++after;
      }
      if (after >= kWindow && before + after >= kCharacters) {
        return hit("50-characters", entry->text, characters.substr(i - before, kCharacters));
      }
    }
    if (i + kWindow >= characters.size()) return {};
    hash = (hash - mixed(characters[i]) * power) * kBase + mixed(characters[i + kWindow]);
  }
}

OverlapHit OverlapIndex::hit(const char* filter, uint32_t text, const std::u32string& match) const {
  const Text& place = texts_[text];
  return {filter, sets_[place.set], place.item, as_utf8(match)};
}

}  // namespace karat::calib
