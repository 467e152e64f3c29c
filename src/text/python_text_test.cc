#include "text/python_text.h"

#include <gtest/gtest.h>

namespace karat::text {
namespace {

TEST(PythonText, CodePointsAndOffsets) {
  const std::string text = "aé天🙂";
  EXPECT_EQ(count_code_points(text), 4u);
  EXPECT_EQ(byte_offset(text, 2), 3u);
  EXPECT_EQ(byte_offset(text, 9), text.size());
  EXPECT_EQ(previous_code_point(text, text.size()), 6u);
  EXPECT_EQ(code_point_at(text, 6).value, 0x1F642);
  // Malformed bytes count one each, whichever way they are walked.
  const std::string broken = "\xE5\xA4z\xFF\x80";
  EXPECT_EQ(count_code_points(broken), 5u);
  size_t backwards = 0;
  for (size_t at = broken.size(); at > 0; at = previous_code_point(broken, at)) ++backwards;
  EXPECT_EQ(backwards, 5u);
}

TEST(PythonText, Repr) {
  EXPECT_EQ(python_repr("it's"), "\"it's\"");
  EXPECT_EQ(python_repr("it's \"x\""), "'it\\'s \"x\"'");
  EXPECT_EQ(python_repr("a\\\n\x01\x7f\xff"), "'a\\\\\\n\\x01\\x7f\\xff'");
  EXPECT_EQ(python_repr("é\xC2\xA0\xE2\x80\x8B"), "'é\\xa0\\u200b'");
  EXPECT_EQ(python_repr(1e16), "1e+16");
  EXPECT_EQ(python_repr(9999999999999998.0), "9999999999999998.0");
  EXPECT_EQ(python_repr(1e-5), "1e-05");
  EXPECT_EQ(python_repr(0.0001), "0.0001");
  EXPECT_EQ(python_repr(-1.25e100), "-1.25e+100");
  EXPECT_EQ(python_repr(120.0), "120.0");
  EXPECT_EQ(python_repr(5e-324), "5e-324");
}

TEST(PythonText, Case) {
  EXPECT_EQ(upper_case("straße é\xFF"), "STRASSE É\xFF");
  EXPECT_EQ(title_case("they're x1y"), "They'Re X1Y");
  EXPECT_EQ(capitalized("éA"), "Éa");
  EXPECT_TRUE(is_upper_case("A1"));
  EXPECT_FALSE(is_upper_case("1"));
  EXPECT_FALSE(is_lower_case("aB"));
}

TEST(PythonText, Strip) {
  const auto kept = [](std::string_view text, const char* set, bool left, bool right) {
    const std::string_view characters = set != nullptr ? set : "";
    const Stripped out = stripped(text, set != nullptr ? &characters : nullptr, left, right);
    return std::string(text.substr(out.begin, out.end - out.begin));
  };
  EXPECT_EQ(kept("\xC2\xA0\xE3\x80\x80 a \x1F", nullptr, true, true), "a");
  EXPECT_EQ(kept(" a ", nullptr, true, false), "a ");
  EXPECT_EQ(kept("éaé", "é", true, true), "a");
  EXPECT_EQ(kept("   ", nullptr, true, true), "");
  EXPECT_EQ(kept("xx", "", true, true), "xx");
}

}  // namespace
}  // namespace karat::text
