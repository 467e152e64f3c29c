#include "base/json.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/error.h"

namespace karat::base {
namespace {

std::string error_of(std::string_view text) {
  try {
    parse_json(text);
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::bad_input);
    return error.what();
  }
  return "accepted";
}

TEST(Json, ReadsEveryType) {
  const Json json = parse_json(R"( {"n": null, "t": true, "i": -3, "u": 18446744073709551615,
                                    "d": 2.5, "s": "a\u00e9\n", "a": [1, []], "o": {}} )");
  EXPECT_TRUE(json.at("n").is_null());
  EXPECT_TRUE(json.at("t").as_bool());
  EXPECT_EQ(json.at("i").as_int(), -3);
  EXPECT_EQ(json.at("u").as_uint(), UINT64_MAX);
  EXPECT_EQ(json.at("d").as_double(), 2.5);
  EXPECT_EQ(json.at("s").as_string(), "a\xC3\xA9\n");
  EXPECT_EQ(json.at("a").as_array().size(), 2u);
  EXPECT_TRUE(json.at("o").as_object().empty());
  EXPECT_EQ(json.find("x"), nullptr);
  EXPECT_EQ(json.at("a").find("x"), nullptr);
}

TEST(Json, ObjectsKeepTheirOrder) {
  const Json json = parse_json(R"({"z": 1, "a": 2, "m": 3})");
  EXPECT_EQ(json.dump(), R"({"z": 1, "a": 2, "m": 3})");
}

TEST(Json, WrongTypesNameTheExpectedOne) {
  const Json json = parse_json(R"({"a": "x", "n": -1, "u": 18446744073709551615})");
  const auto message = [](auto call) {
    try {
      call();
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string("none");
  };
  EXPECT_EQ(message([&] { json.at("a").as_int(); }), "an integer expected");
  EXPECT_EQ(message([&] { json.at("a").as_bool(); }), "true or false expected");
  EXPECT_EQ(message([&] { json.at("a").as_array(); }), "an array expected");
  EXPECT_EQ(message([&] { json.at("a").at("k"); }), "an object expected");
  EXPECT_EQ(message([&] { json.at("n").as_uint(); }), "a non-negative integer expected");
  EXPECT_EQ(message([&] { json.at("u").as_int(); }), "an integer expected");
  EXPECT_EQ(message([&] { json.at("n").as_string(); }), "a string expected");
  EXPECT_EQ(message([&] { json.at("a").as_double(); }), "a number expected");
  EXPECT_EQ(message([&] { json.at("q\n"); }), "key 'q\\n' is missing");
}

TEST(Json, RefusesWhatLenientReadersAccept) {
  EXPECT_EQ(error_of(R"({"a": 1, "a": 2})"), "at byte 11: duplicate key 'a'");
  EXPECT_EQ(error_of(R"([{"b": {"c": 1, "\u0063": 2}}])"), "at byte 23: duplicate key 'c'");
  EXPECT_EQ(error_of("\xEF\xBB\xBF{}"), "at byte 0: byte order mark in JSON; remove it");
  EXPECT_EQ(error_of(std::string_view("{}\0", 3)), "at byte 2: zero byte in JSON");
  EXPECT_EQ(error_of(std::string_view("{}\0 junk", 8)), "at byte 2: zero byte in JSON");
  EXPECT_EQ(error_of("{} x"), "at byte 3: not valid JSON");
  EXPECT_EQ(error_of("[1,]"), "at byte 3: not valid JSON");
  EXPECT_EQ(error_of("[\"\xFF\"]"), "at byte 2: not valid UTF-8");
  EXPECT_EQ(error_of("[\"\xC3\"]"), "at byte 3: not valid UTF-8");
  EXPECT_EQ(error_of("[\xC3\xA9, \"\xFF\"]"), "at byte 1: not valid JSON");
  EXPECT_EQ(error_of("[1e999]"), "at byte 6: number out of range");
  for (const char* text :
       {"",          " ",         "nul",      "NaN",         "[Infinity]", "[01]",
        "[.5]",      "[1.]",      "[+1]",     "'a'",         "{a: 1}",     "[1 2]",
        "{\"a\" 1}", "\"\\x41\"", "\"a\tb\"", "// c\n1",     "/**/1",      "{\"a\":1,}",
        "[",         "{",         "\"abc",    "\"\\ud800\"", "\"\\u12\""}) {
    EXPECT_NE(error_of(text), "accepted") << text;
  }
}

TEST(Json, RefusesMalformedUtf8) {
  for (const char* bytes :
       {"\x80", "\xC0\x80", "\xC3", "\xE0\x80\x80", "\xED\xA0\x80", "\xF4\x90\x80\x80", "\xFF"}) {
    EXPECT_NE(error_of("{\"k\": \"" + std::string(bytes) + "\"}"), "accepted");
    EXPECT_NE(error_of("{\"" + std::string(bytes) + "\": 1}"), "accepted");
  }
}

TEST(Json, NamesTheByte) {
  EXPECT_EQ(error_of("{\"key\": tru}"), "at byte 11: not valid JSON");
  EXPECT_EQ(error_of("[1, 2\x01]"), "at byte 5: not valid JSON");
}

TEST(Json, DepthIsBounded) {
  const auto nested = [](size_t depth) {
    return std::string(depth, '[') + std::string(depth, ']');
  };
  EXPECT_EQ(error_of(nested(64)), "accepted");
  EXPECT_EQ(error_of(nested(65)), "at byte 64: JSON nested deeper than 64 levels");
  EXPECT_EQ(error_of(std::string(1'000'000, '[')), "at byte 64: JSON nested deeper than 64 levels");
  EXPECT_NO_THROW(parse_json("[[]]", {.depth_max = 2}));
  EXPECT_THROW(parse_json("[[[]]]", {.depth_max = 2}), Error);
  EXPECT_NO_THROW(parse_json("[1,[2]]", {.values_max = 4}));
  EXPECT_THROW(parse_json("[1,[2,3]]", {.values_max = 4}), Error);
}

TEST(Json, IntegersAreExactAndWiderOnesAreDoubles) {
  EXPECT_EQ(parse_json("9223372036854775807").as_int(), INT64_MAX);
  EXPECT_EQ(parse_json("-9223372036854775808").as_int(), INT64_MIN);
  EXPECT_EQ(parse_json("9223372036854775808").as_uint(), uint64_t{1} << 63);
  EXPECT_FALSE(parse_json("18446744073709551616").is_integer());
  EXPECT_EQ(parse_json("18446744073709551616").as_double(), 0x1p64);
  EXPECT_FALSE(parse_json("1.0").is_integer());
  EXPECT_EQ(parse_json("7").as_double(), 7.0);
}

TEST(Json, DumpsAsPythonDoes) {
  // Expected texts: json.dumps(x, ensure_ascii=False) of CPython 3.11.
  EXPECT_EQ(parse_json(R"({"a":[1,2.0,null,true],"b":{}})").dump(),
            R"({"a": [1, 2.0, null, true], "b": {}})");
  EXPECT_EQ(parse_json(R"({"a":[1],"b":{},"c":[]})").dump(2),
            "{\n  \"a\": [\n    1\n  ],\n  \"b\": {},\n  \"c\": []\n}");
  EXPECT_EQ(Json("\"\\\n\t\x01\x1f\x7f/\xC3\xA9\xE2\x80\xA8").dump(),
            "\"\\\"\\\\\\n\\t\\u0001\\u001f\x7f/\xC3\xA9\xE2\x80\xA8\"");
  const std::pair<double, const char*> numbers[] = {
      {0.0, "0.0"},
      {-0.0, "-0.0"},
      {0.1, "0.1"},
      {1e-4, "0.0001"},
      {1e-5, "1e-05"},
      {1e15, "1000000000000000.0"},
      {1e16, "1e+16"},
      {1.5e300, "1.5e+300"},
      {5e-324, "5e-324"},
      {2.0 / 3, "0.6666666666666666"},
      {9007199254740993.0, "9007199254740992.0"},
      {123456789012345680.0, "1.2345678901234568e+17"}};
  for (const auto& [number, text] : numbers) {
    EXPECT_EQ(Json(number).dump(), text);
    EXPECT_EQ(parse_json(text).as_double(), number);
  }
}

TEST(Json, DumpNeverFails) {
  EXPECT_EQ(Json("a\xFF").dump(), "\"a\xEF\xBF\xBD\"");
  EXPECT_EQ(Json(std::nan("")).dump(), "null");
  EXPECT_EQ(Json(std::numeric_limits<double>::infinity()).dump(), "null");
}

TEST(Json, SetAndPush) {
  Json json;
  json.set("a", Json::array()).push(2);
  json.set("b", "x");
  json.set("a", 3);
  EXPECT_EQ(json.dump(), R"({"a": 3, "b": "x"})");
  Json list;
  list.push(1);
  list.push(Json::object());
  EXPECT_EQ(list.dump(), "[1, {}]");
  EXPECT_THROW(Json(5).set("a", 1), Error);
  EXPECT_THROW(Json("s").push(1), Error);
}

}  // namespace
}  // namespace karat::base
