#include "calib/overlap.h"

#include <gtest/gtest.h>

namespace karat::calib {
namespace {

// 16 words; 13 of them are less than 50 characters, so that the filters can be told apart.
const std::string kLong = "a bc de fg hi jk lm no pq rs tu vw xy za bd ce";
const std::string kLongStart = "a bc de fg hi jk lm no pq rs tu vw";  // 12 of them

OverlapIndex index_of(const std::vector<std::string>& texts) {
  OverlapIndex index;
  for (size_t i = 0; i < texts.size(); ++i) {
    index.add("set", static_cast<int64_t>(i) + 1, {texts[i]});
  }
  index.finish();
  return index;
}

std::string filter_of(const OverlapIndex& index, const std::string& text) {
  const auto hit = index.find(text);
  return hit ? hit->filter : "none";
}

TEST(Overlap, ThirteenWordsButNotTwelve) {
  const OverlapIndex index = index_of({"nothing of this kind", kLong});
  const auto hit = index.find("So: A, bc de FG (hi) jk lm no - pq rs tu\nvw xy. And more");
  ASSERT_TRUE(hit);
  EXPECT_STREQ(hit->filter, "13-gram");
  EXPECT_EQ(hit->set, "set");
  EXPECT_EQ(hit->item, 2);
  EXPECT_EQ(hit->match, "a bc de fg hi jk lm no pq rs tu vw xy");
  EXPECT_EQ(filter_of(index, kLongStart + " then something else follows here"), "none");
  EXPECT_EQ(filter_of(index, "bc a de fg hi jk lm no pq rs tu vw"), "none");
}

TEST(Overlap, EightWordsOfShortItemsOnly) {
  const OverlapIndex index = index_of({"one two red six ten cat dog pig", kLong});
  EXPECT_EQ(filter_of(index, "say one two red six ten cat dog pig."), "8-gram");
  EXPECT_EQ(filter_of(index, "say one two red six ten cat dog, not pig"), "none");
  // The long item's words count by thirteen.
  EXPECT_EQ(filter_of(index, "a bc de fg hi jk lm no"), "none");
}

TEST(Overlap, FiftyCharactersWhateverStandsBetweenThem) {
  std::string evaluation;
  for (int i = 0; i < 40; ++i) evaluation += "word" + std::to_string(i * 7919) + " ";
  const OverlapIndex index = index_of({evaluation});
  std::string characters;
  for (const char c : evaluation) characters += c == ' ' ? "" : std::string(1, c);
  // Every place of 50 characters is found, none of 49 is; between them words of another cut.
  for (size_t at = 0; at + 50 <= characters.size(); ++at) {
    std::string text = "x";
    for (const char c : characters.substr(at, 50)) text += std::string("-") + c;
    const auto hit = index.find(text + "-x");
    ASSERT_TRUE(hit) << at;
    EXPECT_STREQ(hit->filter, "50-characters");
    EXPECT_EQ(hit->match, characters.substr(at, 50));
    text = "#" + characters.substr(at, 49) + "#q";
    EXPECT_EQ(filter_of(index, text), "none") << at;
  }
}

TEST(Overlap, CaseAccentsAndScripts) {
  const OverlapIndex index = index_of({
      "\xc3\x89T\xc3\x89 un deux trois quatre cinq six sept",  // E with acute, composed
      "\xe4\xb8\x80\xe4\xba\x8c\xe4\xb8\x89\xe5\x9b\x9b\xe4\xba\x94\xe5\x85\xad\xe4\xb8\x83"
      "\xe5\x85\xab",  // eight Han characters: eight words
  });
  EXPECT_EQ(filter_of(index, "e\xcc\x81te\xcc\x81 un deux trois quatre cinq six sept"), "8-gram");
  EXPECT_EQ(filter_of(index,
                      "\xe5\xa5\xbd\xe4\xb8\x80\xe4\xba\x8c\xe4\xb8\x89\xe5\x9b\x9b"
                      "\xe4\xba\x94\xe5\x85\xad\xe4\xb8\x83\xe5\x85\xab"),
            "8-gram");
  EXPECT_EQ(filter_of(index, "\xff\xfe not UTF-8"), "none");
}

// As Python's json.dumps and our own templates write texts into messages, also JSON inside of JSON.
TEST(Overlap, SeesThroughTheEscapesOfJson) {
  const std::string han =
      "\xe4\xb8\x80\xe4\xba\x8c\xe4\xb8\x89\xe5\x9b\x9b\xe4\xba\x94\xe5\x85\xad\xe4\xb8\x83"
      "\xe5\x85\xab";
  const OverlapIndex index = index_of({han, "def one(a):\n\treturn b\n\nprint(two, six, ten)",
                                       "see \"x\": \\u00e9\\nt un deux trois quatre cinq"});
  const std::string once = R"({"q": "\u4e00\u4E8c\u4e09\u56db\u4e94\u516d\u4e03\u516b"})";
  std::string twice;
  for (const char c : once) twice += (c == '\\' || c == '"' ? "\\" : "") + std::string(1, c);
  EXPECT_EQ(filter_of(index, once), "8-gram");
  EXPECT_EQ(filter_of(index, "{\"arguments\": \"" + twice + "\"}"), "8-gram");
  EXPECT_EQ(index.find(once)->match, index.find(han)->match);
  EXPECT_EQ(filter_of(index, R"-("def one(a):\n\treturn b\n\nprint(two, six, ten)")-"), "8-gram");
  // The evaluation text may be the escaped one.
  EXPECT_EQ(filter_of(index, "\xc3\xa9\nt un deux trois quatre cinq see"), "none");
  EXPECT_EQ(filter_of(index, "See X \xc3\xa9\nt un deux trois quatre cinq"), "8-gram");
  // What looks like an escape and is none stays: TeX, ends of texts, halves of pairs.
  const OverlapIndex tex = index_of({"a \\frac b \\theta c \\nabla d e"});
  EXPECT_EQ(filter_of(tex, "a \\frac b \\theta c \\nabla d e"), "8-gram");
  EXPECT_EQ(filter_of(tex, "a \\\\frac b \\\\theta c \\\\nabla d e"), "8-gram");
  for (const char* text : {"\\", "\\u", "\\u12", "\\u12g4", "\\ud83d", "\\ud83d\\u0041", "\\x"}) {
    EXPECT_EQ(filter_of(tex, text), "none") << text;
  }
  const OverlapIndex rare = index_of({"\xf0\xa0\x80\x80 2 3 4 5 6 7 8"});  // U+20000
  EXPECT_EQ(filter_of(rare, "\\ud840\\udc00 2 3 4 5 6 7 8"), "8-gram");
}

TEST(Overlap, CountsItemsThatNoFilterCovers) {
  OverlapIndex index;
  index.add("set", 1, {"yes", "no"});
  index.add("set", 2, {"yes", kLong});
  index.add("set", 3, {std::string(50, 'z')});
  index.finish();
  EXPECT_EQ(index.items(), 3);
  EXPECT_EQ(index.items_too_short(), 1);
  EXPECT_EQ(filter_of(index, ""), "none");
}

// A text that is one character over and over would otherwise be compared with itself everywhere.
TEST(Overlap, MonotonousTextsTakeLinearTime) {
  const OverlapIndex index = index_of({std::string(1 << 20, '0') + "1", std::string(1 << 20, '0')});
  EXPECT_EQ(filter_of(index, std::string(49, '0') + "2"), "none");
  std::string text;
  for (int i = 0; i < 20000; ++i) text += std::string(49, '0') + "2";
  EXPECT_EQ(filter_of(index, text), "none");
}

}  // namespace
}  // namespace karat::calib
