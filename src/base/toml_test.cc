#include "base/toml.h"

#include <gtest/gtest.h>

#include <functional>

namespace karat::base {
namespace {

std::string error_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::bad_input);
    return error.what();
  }
  return "";
}

std::string parse_error(const std::string& text) {
  return error_of([&] { TomlTable::parse(text, "r.toml"); });
}

TEST(Toml, ValuesOfEveryKind) {
  TomlTable table = TomlTable::parse(
      "a = 'x'\nb = 3\nc = 0.5\nd = true\ne = ['p', 'q']\n[[f]]\ng = 1\n[[f]]\ng = 2\n", "r.toml");
  EXPECT_EQ(table.text("a"), "x");
  EXPECT_EQ(table.integer("b"), 3);
  EXPECT_EQ(table.number("b"), 3.0);
  EXPECT_EQ(table.number("c"), 0.5);
  EXPECT_EQ(table.flag("d"), true);
  EXPECT_EQ(table.texts("e"), (std::vector<std::string>{"p", "q"}));
  std::vector<TomlTable> tables = table.tables("f");
  ASSERT_EQ(tables.size(), 2u);
  EXPECT_EQ(tables[1].integer_at("g"), 2);
  tables[1].require_all_read();
  table.require_all_read();
  EXPECT_FALSE(table.text("none"));
  EXPECT_TRUE(table.texts("none").empty() && table.tables("none").empty());
}

TEST(Toml, SaysLineAndKey) {
  TomlTable table = TomlTable::parse("seed = 1\n\ntokns = 5\n[[part]]\nx = 1\n", "r.toml");
  EXPECT_EQ(error_of([&] { table.text("seed"); }), "r.toml:1: key 'seed': a string is expected");
  EXPECT_EQ(error_of([&] { table.integer_at("size"); }), "r.toml:1: 'size' is missing here");
  table.integer("tokens");
  EXPECT_EQ(error_of([&] { table.require_all_read(); }), "r.toml:4: key 'part': unknown");
  std::vector<TomlTable> parts = table.tables("part");
  EXPECT_EQ(error_of([&] { table.require_all_read(); }),
            "r.toml:3: key 'tokns': unknown; did you mean 'tokens'?");
  EXPECT_EQ(error_of([&] { parts[0].text_at("y"); }), "r.toml:4: 'y' is missing here");
  EXPECT_EQ(error_of([&] { table.tables("seed"); }),
            "r.toml:1: key 'seed': tables are expected, [[seed]]");
}

TEST(Toml, BadTextsNameTheLine) {
  EXPECT_EQ(parse_error("a = 1\nb = \n").substr(0, 9), "r.toml:2:");
  EXPECT_EQ(parse_error("a = 1\na = 2\n").substr(0, 9), "r.toml:2:");
  EXPECT_NE(parse_error("a = '\xff'"), "");
  EXPECT_NE(parse_error("a = " + std::string(100000, '[')), "");
  EXPECT_EQ(parse_error(""), "");
}

}  // namespace
}  // namespace karat::base
