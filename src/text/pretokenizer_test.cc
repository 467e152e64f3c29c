#include "text/pretokenizer.h"

#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "text/tokenizer_testing.h"
#include "text/unicode.h"

namespace karat::text {
namespace {

using Pieces = std::vector<std::string>;

Pieces pieces(std::string_view text) {
  Pieces out;
  for (const std::string_view piece : split(text)) out.emplace_back(piece);
  return out;
}

TEST(Pretokenizer, Words) {
  EXPECT_EQ(pieces(""), Pieces{});
  EXPECT_EQ(pieces("Hello, brave world!"), (Pieces{"Hello", ",", " brave", " world", "!"}));
  EXPECT_EQ(pieces("snake_case"), (Pieces{"snake", "_case"}));
  EXPECT_EQ(pieces("\tindent"), (Pieces{"\tindent"}));
  EXPECT_EQ(pieces("(word)"), (Pieces{"(word", ")"}));
  EXPECT_EQ(pieces("\u00A0word"), (Pieces{"\u00A0word"}));
  EXPECT_EQ(pieces("\nword"), (Pieces{"\n", "word"}));
  EXPECT_EQ(pieces("x\U0001F600y"), (Pieces{"x", "\U0001F600y"}));
}

TEST(Pretokenizer, MarksBelongToWords) {
  EXPECT_EQ(pieces("\u0915\u094D\u0937"), (Pieces{"\u0915\u094D\u0937"}));
  EXPECT_EQ(pieces("\u0301"), (Pieces{"\u0301"}));
  EXPECT_EQ(pieces(" \u0301a"), (Pieces{" \u0301a"}));
  EXPECT_EQ(pieces("1\u0301"), (Pieces{"1", "\u0301"}));
  EXPECT_EQ(pieces("!\u0301"), (Pieces{"!\u0301"}));
  EXPECT_EQ(pieces("!!\u0301"), (Pieces{"!!", "\u0301"}));
}

TEST(Pretokenizer, EachDigitAlone) {
  EXPECT_EQ(pieces("a12 \u00BD"), (Pieces{"a", "1", "2", " ", "\u00BD"}));
}

TEST(Pretokenizer, Contractions) {
  EXPECT_EQ(pieces("I'm he'LL they'Ve"), (Pieces{"I", "'m", " he", "'LL", " they", "'Ve"}));
  EXPECT_EQ(pieces("it'\u017F"), (Pieces{"it", "'\u017F"}));  // long s folds to s
  EXPECT_EQ(pieces("'tis"), (Pieces{"'t", "is"}));
  EXPECT_EQ(pieces("'rx 'lx 'v"), (Pieces{"'rx", " '", "lx", " '", "v"}));
  EXPECT_EQ(pieces("'r"), (Pieces{"'r"}));
  EXPECT_EQ(pieces("''s"), (Pieces{"''", "s"}));
  EXPECT_EQ(pieces("'7"), (Pieces{"'", "7"}));
}

TEST(Pretokenizer, Punctuation) {
  EXPECT_EQ(pieces("a ...\n\nb"), (Pieces{"a", " ...\n\n", "b"}));
  EXPECT_EQ(pieces("a  ."), (Pieces{"a", " ", " ."}));
  EXPECT_EQ(pieces(".\u00A0."), (Pieces{".", "\u00A0", "."}));
  EXPECT_EQ(pieces("!\r\n \n"), (Pieces{"!\r\n", " \n"}));
}

TEST(Pretokenizer, WhiteSpace) {
  EXPECT_EQ(pieces("  a"), (Pieces{" ", " a"}));
  EXPECT_EQ(pieces("a  "), (Pieces{"a", "  "}));
  EXPECT_EQ(pieces("a \n b"), (Pieces{"a", " \n", " b"}));
  EXPECT_EQ(pieces("a \n  1"), (Pieces{"a", " \n", " ", " ", "1"}));
  EXPECT_EQ(pieces("a\n\n\nb"), (Pieces{"a", "\n\n\n", "b"}));
  EXPECT_EQ(pieces(" \n \r\t"), (Pieces{" \n \r", "\t"}));
  EXPECT_EQ(pieces(" 1"), (Pieces{" ", "1"}));
  EXPECT_EQ(pieces("\u3000\u3000a"), (Pieces{"\u3000", "\u3000a"}));
  EXPECT_EQ(pieces("a\u2028\u20281"), (Pieces{"a", "\u2028", "\u2028", "1"}));
}

// The regular expression itself, run by a backtracking matcher.
class Regex {
 public:
  explicit Regex(const std::u32string& text) : text_(text) {}

  size_t match(size_t begin) const {
    for (const Sequence& alternative : alternatives()) {
      if (const size_t end = match_from(alternative, 0, begin); end != kNo) return end;
    }
    return kNo;
  }

 private:
  static constexpr size_t kNo = SIZE_MAX;
  using Predicate = std::function<bool(char32_t)>;
  struct Item {
    Predicate accepts;
    size_t min, max;
  };
  struct Sequence {
    std::vector<Item> items;
    bool no_visible_after = false;  // (?!\S)
  };

  static Predicate fold(char32_t lower) {
    return [lower](char32_t c) {
      return c == lower || c == lower - 32 || (lower == 's' && c == 0x17F);
    };
  }
  static bool letter(char32_t c) { return char_class(c) == CharClass::letter; }
  static bool mark(char32_t c) { return char_class(c) == CharClass::mark; }
  static bool number(char32_t c) { return char_class(c) == CharClass::number; }
  static bool newline(char32_t c) { return c == '\r' || c == '\n'; }
  static bool space(char32_t c) { return newline(c) || char_class(c) == CharClass::space; }

  static const std::vector<Sequence>& alternatives() {
    static const std::vector<Sequence> all = [] {
      const auto quote = [](char32_t c) { return c == '\''; };
      const auto blank = [](char32_t c) { return c == ' '; };
      const auto word = [](char32_t c) { return letter(c) || mark(c); };
      std::vector<Sequence> list;
      for (const char* ending : {"s", "t", "re", "ve", "m", "ll", "d"}) {
        Sequence sequence{{{quote, 1, 1}}};
        for (const char* c = ending; *c != 0; ++c) {
          sequence.items.push_back({fold(static_cast<char32_t>(*c)), 1, 1});
        }
        list.push_back(sequence);
      }
      list.push_back({{{[](char32_t c) { return !newline(c) && !letter(c) && !number(c); }, 0, 1},
                       {word, 1, kNo}}});
      list.push_back({{{number, 1, 1}}});
      list.push_back({{{blank, 0, 1},
                       {[word](char32_t c) { return !space(c) && !word(c) && !number(c); }, 1, kNo},
                       {newline, 0, kNo}}});
      list.push_back({{{space, 0, kNo}, {newline, 1, kNo}}});
      list.push_back({{{space, 1, kNo}}, true});
      list.push_back({{{space, 1, kNo}}});
      return list;
    }();
    return all;
  }

  size_t match_from(const Sequence& sequence, size_t item, size_t position) const {
    if (item == sequence.items.size()) {
      const bool visible = position < text_.size() && !space(text_[position]);
      return sequence.no_visible_after && visible ? kNo : position;
    }
    const Item& now = sequence.items[item];
    size_t count = 0;
    while (count < now.max && position + count < text_.size() &&
           now.accepts(text_[position + count])) {
      ++count;
    }
    for (;; --count) {
      if (count < now.min) return kNo;
      if (const size_t end = match_from(sequence, item + 1, position + count); end != kNo)
        return end;
      if (count == 0) return kNo;
    }
  }

  const std::u32string& text_;
};

TEST(Pretokenizer, EqualsTheRegularExpression) {
  base::Rng rng(4);
  for (int i = 0; i < 20000; ++i) {
    const std::string text = random_text(rng, 1 + rng.below(16));
    std::u32string chars;
    std::vector<size_t> offsets;
    for (size_t at = 0; at < text.size();) {
      offsets.push_back(at);
      chars += next_char(text, at);
    }
    offsets.push_back(text.size());
    Pieces expected;
    const Regex regex(chars);
    for (size_t at = 0; at < chars.size();) {
      const size_t end = regex.match(at);
      ASSERT_GT(end, at);
      ASSERT_LE(end, chars.size());
      expected.push_back(text.substr(offsets[at], offsets[end] - offsets[at]));
      at = end;
    }
    ASSERT_EQ(pieces(text), expected);
  }
}

}  // namespace
}  // namespace karat::text
