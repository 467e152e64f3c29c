#include "text/unicode.h"

#include <gtest/gtest.h>

#include <vector>

#include "base/text.h"
#include "text/tokenizer_testing.h"

namespace karat::text {
namespace {

TEST(Unicode, ClassesOfCharacters) {
  EXPECT_EQ(char_class('a'), CharClass::letter);
  EXPECT_EQ(char_class(0x1C5), CharClass::letter);   // Lt
  EXPECT_EQ(char_class(0x2B0), CharClass::letter);   // Lm
  EXPECT_EQ(char_class(0x5D0), CharClass::letter);   // Lo
  EXPECT_EQ(char_class(0x301), CharClass::mark);     // Mn
  EXPECT_EQ(char_class(0x93E), CharClass::mark);     // Mc
  EXPECT_EQ(char_class(0x20DD), CharClass::mark);    // Me
  EXPECT_EQ(char_class('7'), CharClass::number);     // Nd
  EXPECT_EQ(char_class(0x2163), CharClass::number);  // Nl
  EXPECT_EQ(char_class(0xBD), CharClass::number);    // No
  EXPECT_EQ(char_class('\r'), CharClass::newline);
  EXPECT_EQ(char_class('\n'), CharClass::newline);
  EXPECT_EQ(char_class('_'), CharClass::other);
  EXPECT_EQ(char_class(0x378), CharClass::other);     // unassigned
  EXPECT_EQ(char_class(0xE000), CharClass::other);    // private use
  EXPECT_EQ(char_class(0x200D), CharClass::other);    // joiner
  EXPECT_EQ(char_class(0x10FFFF), CharClass::other);  // noncharacter
}

TEST(Unicode, WhiteSpaceIsThePropertyAndNoMore) {
  std::vector<char32_t> spaces;
  for (char32_t c = 0; c < 0x110000; ++c) {
    if (char_class(c) == CharClass::space) spaces.push_back(c);
  }
  const std::vector<char32_t> expected = {0x09,   0x0B,   0x0C,   0x20,   0x85,   0xA0,
                                          0x1680, 0x2000, 0x2001, 0x2002, 0x2003, 0x2004,
                                          0x2005, 0x2006, 0x2007, 0x2008, 0x2009, 0x200A,
                                          0x2028, 0x2029, 0x202F, 0x205F, 0x3000};
  EXPECT_EQ(spaces, expected);
}

TEST(Unicode, KnowsTheCharactersOfUnicode16) {
  EXPECT_EQ(char_class(0x1C89), CharClass::letter);
  EXPECT_EQ(char_class(0x1C8A), CharClass::letter);
  EXPECT_EQ(char_class(0x1C8B), CharClass::other);
  EXPECT_EQ(char_class(0x897), CharClass::mark);
  EXPECT_EQ(char_class(0x10D45), CharClass::number);
  EXPECT_EQ(char_class(0x2EBEF), CharClass::other);
  EXPECT_EQ(char_class(0x2EBF0), CharClass::letter);
  EXPECT_EQ(char_class(0x2EE5D), CharClass::letter);
  EXPECT_EQ(char_class(0x2EE5E), CharClass::other);
}

TEST(Unicode, CharactersGoThroughUtf8) {
  for (char32_t c = 0; c < 0x110000; ++c) {
    if (c >= 0xD800 && c <= 0xDFFF) continue;
    std::string text;
    append_utf8(c, text);
    ASSERT_TRUE(base::is_utf8(text)) << std::hex << static_cast<uint32_t>(c);
    size_t position = 0;
    ASSERT_EQ(next_char(text, position), c);
    ASSERT_EQ(position, text.size());
  }
}

TEST(Unicode, RepairsByMaximalSubparts) {
  const std::string r = "\uFFFD";
  // The examples of Unicode 15.0, tables 3-8 to 3-11.
  EXPECT_EQ(repair_utf8("\xC0\xAF\xE0\x80\xBF\xF0\x81\x82\x41"),
            r + r + r + r + r + r + r + r + "A");
  EXPECT_EQ(repair_utf8("\xED\xA0\x80\xED\xBF\xBF\xED\xAF\x41"),
            r + r + r + r + r + r + r + r + "A");
  EXPECT_EQ(repair_utf8("\xF4\x91\x92\x93\xFF\x41\x80\xBF\x42"),
            r + r + r + r + r + "A" + r + r + "B");
  EXPECT_EQ(repair_utf8("\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41"), r + r + r + r + "A");
  EXPECT_EQ(repair_utf8("ok\xF0\x9F\x98"), "ok" + r);
  EXPECT_EQ(repair_utf8("a\xF0\x9F\x98\x80z"), "a\U0001F600z");
  EXPECT_EQ(repair_utf8(""), "");
}

TEST(Unicode, RepairLeavesWellFormedTextAlone) {
  base::Rng rng(1);
  for (int i = 0; i < 300; ++i) {
    const std::string text = random_text(rng, 20);
    EXPECT_EQ(repair_utf8(text), text);
  }
}

TEST(Unicode, RepairKeepsWhatIsNotCertain) {
  Utf8Repair repair;
  const auto push = [&](std::string_view bytes) {
    std::string out;
    repair.push(bytes, out);
    return out;
  };
  EXPECT_EQ(push("a\xE6\xBC"), "a");
  EXPECT_EQ(push("\xA2\xF0"), "\u6F22");
  EXPECT_EQ(push("\x80"), "\uFFFD\uFFFD");
  EXPECT_EQ(push("\xED\xA0"), "");
  EXPECT_EQ(push("\x80"), "\uFFFD\uFFFD\uFFFD");
  EXPECT_EQ(push("\xED\xBF"), "");
  EXPECT_EQ(push("x\xED\xA0"), "\uFFFD\uFFFDx");
  std::string rest;
  repair.flush(rest);
  EXPECT_EQ(rest, "\uFFFD\uFFFD");
}

TEST(Unicode, RepairDoesNotDependOnTheCuts) {
  base::Rng rng(2);
  for (int i = 0; i < 2000; ++i) {
    const std::string bytes = random_bytes(rng, 12);
    const std::string whole = repair_utf8(bytes);
    EXPECT_TRUE(base::is_utf8(whole));
    Utf8Repair repair;
    std::string cut;
    for (size_t at = 0; at < bytes.size();) {
      const size_t size = 1 + rng.below(3);
      repair.push(std::string_view(bytes).substr(at, size), cut);
      EXPECT_TRUE(base::is_utf8(cut));
      EXPECT_TRUE(whole.starts_with(cut));
      at += size;
    }
    repair.flush(cut);
    EXPECT_EQ(cut, whole);
  }
}

TEST(Unicode, NfcComposesAndOrders) {
  EXPECT_EQ(nfc("plain ASCII\n"), "plain ASCII\n");
  EXPECT_EQ(nfc("e\u0301"), "\u00E9");
  EXPECT_EQ(nfc("xe\u0301y"), "x\u00E9y");
  EXPECT_EQ(nfc("\u212B \u2126"), "\u00C5 \u03A9");      // singletons
  EXPECT_EQ(nfc("a\u0307\u0323"), "\u1EA1\u0307");       // the mark below comes first
  EXPECT_EQ(nfc("s\u0307\u0323"), "\u1E69");             // two marks, one letter
  EXPECT_EQ(nfc("\u1100\u1161\u11A8"), "\uAC01");        // Hangul
  EXPECT_EQ(nfc("\uAC00\u11A8"), "\uAC01");              // LV + T
  EXPECT_EQ(nfc("\u0958"), "\u0915\u093C");              // composition exclusion
  EXPECT_EQ(nfc("\u0344"), "\u0308\u0301");              // no starter to join
  EXPECT_EQ(nfc("e\u0327\u0301"), "\u0229\u0301");       // first mark joins, second may not
  EXPECT_EQ(nfc("a\u0305\u0301"), "a\u0305\u0301");      // blocked by the same class
  EXPECT_EQ(nfc(">\u0338"), "\u226F");                   // ASCII punctuation can be a base
  EXPECT_EQ(nfc("\u09C7\u09BE"), "\u09CB");              // starter joins starter
  EXPECT_EQ(nfc("\U0001D15E"), "\U0001D157\U0001D165");  // outside the BMP
  EXPECT_EQ(nfc("\uFB01"), "\uFB01");                    // compatibility forms stay
  EXPECT_EQ(nfc("\u0301e\u0301"), "\u0301\u00E9");
}

TEST(Unicode, NfcLeavesAloneWhatUnicode9DidNotKnow) {
  // U+089C (class 230) came with Unicode 14: it blocks what follows and does not move.
  EXPECT_EQ(nfc("e\u089C\u0301"), "e\u089C\u0301");
  EXPECT_EQ(nfc("x\u0301\u1DFA\u0323"), "x\u0301\u1DFA\u0323");
  EXPECT_EQ(nfc("x\u0301\u1DFB\u0323"), "x\u0323\u0301\u1DFB");  // U+1DFB came with 9.0
  EXPECT_EQ(nfc("\U00011935\U00011930"), "\U00011935\U00011930");
  EXPECT_EQ(nfc("\U00011938"), "\U00011938");
}

TEST(Unicode, NfcIsIdempotentAndWellFormed) {
  base::Rng rng(3);
  for (int i = 0; i < 3000; ++i) {
    const std::string once = nfc(random_text(rng, 12));
    ASSERT_TRUE(base::is_utf8(once));
    ASSERT_EQ(nfc(once), once);
  }
}

// Quadratic ordering would take hours here.
TEST(Unicode, NfcOrdersAMillionMarks) {
  constexpr size_t kCount = 1 << 19;
  std::string text = "x", expected = "x";
  for (size_t i = 0; i < kCount; ++i) text += "\u0301\u0323";
  for (size_t i = 0; i < kCount; ++i) expected += "\u0323";
  for (size_t i = 0; i < kCount; ++i) expected += "\u0301";
  EXPECT_TRUE(nfc(text) == expected);
}

}  // namespace
}  // namespace karat::text
