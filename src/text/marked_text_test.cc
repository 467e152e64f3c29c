#include "text/marked_text.h"

#include <gtest/gtest.h>

namespace karat::text {
namespace {

using Ranges = std::vector<TextSpan>;

TEST(MarkedText, AppendKeepsMarks) {
  MarkedText out;
  out.append("ab");
  out.append(MarkedText("cd", true));
  out.append(MarkedText("ef", true));
  out.append("g");
  out.append(MarkedText("h", true));
  EXPECT_EQ(out.text, "abcdefgh");
  EXPECT_EQ(out.input, (Ranges{{2, 6}, {7, 8}}));
  EXPECT_TRUE(MarkedText("", true).input.empty());
}

TEST(MarkedText, PartsCutMarks) {
  MarkedText whole;
  for (const char* piece : {"aa", "BB", "cc", "DD"}) {
    whole.append(MarkedText(piece, piece[0] < 'a'));
  }
  EXPECT_EQ(whole.input, (Ranges{{2, 4}, {6, 8}}));
  EXPECT_EQ(whole.part(3, 7).text, "BccD");
  EXPECT_EQ(whole.part(3, 7).input, (Ranges{{0, 1}, {3, 4}}));
  EXPECT_EQ(whole.part(4, 6).input, Ranges{});
  EXPECT_EQ(whole.part(0, 2).input, Ranges{});
  EXPECT_EQ(whole.part(6, 100).input, (Ranges{{0, 2}}));
  EXPECT_EQ(whole.part(5, 5).text, "");
  EXPECT_EQ(whole.part(9, 3).text, "");
}

}  // namespace
}  // namespace karat::text
