// Does a text share something with an evaluation set? Three filters:
//   13-gram         13 consecutive words of an evaluation text occur in the text
//   8-gram          8 consecutive words of a short evaluation text (8 to 12 words) do
//   50-characters   50 consecutive characters of an evaluation text do, when only letters, marks
//                   and digits are left of both
// The first is what most published decontaminations count (Brown et al. 2020, appendix C), the
// second is for items that have no 13 words, the third (OpenAI 2023, GPT-4, appendix C) sees
// through spacing and punctuation.
//
// A word is a run of letters, marks and digits in lower case (NFC); of scripts written without
// spaces (Han, Hiragana, Katakana) each character is a word.
//
// Evaluation data is often JSON inside of a message (a tool's result, a call's arguments), and JSON
// may be inside of JSON: both sides are looked at as they are and with JSON's escapes undone, once
// and again while there are any, at most three times.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>
#include <vector>

namespace karat::calib {

struct OverlapHit {
  const char* filter;  // as above
  std::string set;     // the evaluation set
  int64_t item = 0;    // of it, as given to add()
  std::string match;   // what both share: the words, or the characters
};

class OverlapIndex {
 public:
  // Adds the texts of one item (question, choices, ...), each looked for by itself.
  void add(const std::string& set, int64_t item, const std::vector<std::string>& texts);
  // Ends the additions; find() may be called from several threads afterwards.
  void finish();

  // What of the text is in an evaluation set: the text as it is before the text without escapes,
  // 13-grams before 8-grams before characters, and of several hits of a kind the first.
  std::optional<OverlapHit> find(std::string_view text) const;

  int64_t items() const { return items_; }
  // Items of which no text is long enough for any filter.
  int64_t items_too_short() const { return too_short_; }

 private:
  // Hashes of what evaluation texts contain, and where; sorted, so that the first place of equal
  // ones counts.
  class HashIndex {
   public:
    struct Entry {
      uint64_t hash;
      uint32_t text, position;
    };
    void add(Entry entry) { entries_.push_back(entry); }
    void finish(bool one_each);
    // The entries with that hash, [first, second).
    std::pair<const Entry*, const Entry*> find(uint64_t hash) const;

   private:
    std::vector<Entry> entries_;
    std::vector<uint32_t> begins_;  // [2^16 + 1]: by the upper 16 bits of the hash
  };
  struct Text {
    uint32_t set;
    int64_t item;
    std::u32string characters;  // letters, marks and digits only
  };

  // Adds one text; false if no filter covers it.
  bool add_text(std::string_view text, uint32_t set, int64_t item);
  std::optional<OverlapHit> find_in(std::string_view text) const;
  void add_windows(const std::u32string& characters, uint32_t text);
  std::optional<OverlapHit> find_grams(const HashIndex& index, size_t size, const char* filter,
                                       const std::vector<std::u32string>& words) const;
  std::optional<OverlapHit> find_characters(const std::u32string& characters) const;
  OverlapHit hit(const char* filter, uint32_t text, const std::u32string& match) const;

  std::vector<std::string> sets_;
  std::vector<Text> texts_;
  HashIndex long_grams_, short_grams_, windows_;
  std::unordered_set<uint64_t> surroundings_;  // of the windows so far
  int64_t items_ = 0, too_short_ = 0;
};

}  // namespace karat::calib
