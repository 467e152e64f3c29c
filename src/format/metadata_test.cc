#include "format/metadata.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace karat::format {
namespace {

using base::Error;
using base::ErrorKind;

template <class Call>
std::string error_of(Call call) {
  try {
    call();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::bad_input);
    return error.what();
  }
  return "";
}

std::vector<std::string> keys_of(const Metadata& metadata) {
  std::vector<std::string> keys;
  for (const Metadata::Entry& entry : metadata.entries()) keys.push_back(entry.key);
  return keys;
}

TEST(Metadata, SetMovesAKeyToTheEnd) {
  Metadata metadata;
  for (const char* key : {"a", "b", "c", "d"}) metadata.set(key, key);
  metadata.set("b", uint32_t{7});
  EXPECT_EQ(keys_of(metadata), (std::vector<std::string>{"a", "c", "d", "b"}));
  EXPECT_EQ(metadata.get_int("b"), 7);
  EXPECT_EQ(metadata.get_string("c"), "c");
  EXPECT_EQ(metadata.get_string("d"), "d");
}

TEST(Metadata, AppendKeepsTheFirst) {
  Metadata metadata;
  EXPECT_TRUE(metadata.append("a", 1));
  EXPECT_FALSE(metadata.append("a", 2));
  EXPECT_EQ(metadata.get_int("a"), 1);
  EXPECT_EQ(metadata.size(), 1u);
}

TEST(Metadata, RemoveForgetsTheKeyAndFindsTheOthers) {
  Metadata metadata;
  for (int i = 0; i < 5; ++i) metadata.set("k" + std::to_string(i), i);
  EXPECT_TRUE(metadata.remove("k1"));
  EXPECT_FALSE(metadata.remove("k1"));
  EXPECT_EQ(metadata.find("k1"), nullptr);
  for (const int i : {0, 2, 3, 4}) EXPECT_EQ(metadata.get_int("k" + std::to_string(i)), i);
}

TEST(Metadata, AnyIntegerTypeIsAnInteger) {
  Metadata metadata;
  metadata.set("u8", uint8_t{255});
  metadata.set("i16", int16_t{-2});
  metadata.set("u64", uint64_t{1} << 63);
  EXPECT_EQ(metadata.get_int("u8"), 255);
  EXPECT_EQ(metadata.get_int("i16"), -2);
  EXPECT_EQ(metadata.get_uint("u64"), uint64_t{1} << 63);
  EXPECT_NE(error_of([&] { metadata.get_int("u64"); }), "");
  EXPECT_NE(error_of([&] { metadata.get_uint("i16"); }), "");
}

TEST(Metadata, ErrorsNameFileKeyValueAndType) {
  Metadata metadata("model.gguf");
  metadata.set("flag", true);
  metadata.set("text\x1b", "seven");
  EXPECT_EQ(
      error_of([&] { metadata.get_int("absent"); }),
      "model.gguf: key 'absent' is missing; the file is not complete, convert the model again");
  EXPECT_EQ(
      error_of([&] { metadata.get_int("flag"); }),
      "model.gguf: key 'flag' is true (bool), an integer is expected; convert the model again");
  EXPECT_EQ(error_of([&] { metadata.get_real("text\x1b"); }),
            "model.gguf: key 'text\\x1b' is \"seven\" (string), an f32 or f64 is expected; convert "
            "the model again");
  EXPECT_NE(error_of([&] { metadata.get_array<float>("flag"); }).find("an array of f32"),
            std::string::npos);
  EXPECT_NE(error_of([&] { metadata.get_string("flag"); }), "");
  EXPECT_NE(error_of([&] { metadata.get_bool("text\x1b"); }), "");
  EXPECT_NE(error_of([&] { metadata.get_ints("flag"); }), "");
}

TEST(Metadata, FallbacksAreForAbsenceOnly) {
  Metadata metadata;
  metadata.set("flag", true);
  EXPECT_EQ(metadata.get_int("absent", 3), 3);
  EXPECT_EQ(metadata.get_real("absent", 0.5), 0.5);
  EXPECT_EQ(metadata.get_string("absent", "x"), "x");
  EXPECT_FALSE(metadata.get_bool("absent", false));
  EXPECT_TRUE(metadata.get_bool("flag", false));
  EXPECT_NE(error_of([&] { metadata.get_int("flag", 3); }), "");
}

TEST(Metadata, ArraysKeepTheirElementType) {
  Metadata metadata;
  metadata.set("i32", std::vector<int32_t>{11, -11});
  metadata.set("u64", std::vector<uint64_t>{uint64_t{1} << 63});
  metadata.set("real", std::vector<float>{0.5f});
  metadata.set("bool", std::vector<bool>{true});
  EXPECT_EQ(metadata.get_array<int32_t>("i32"), (std::vector<int32_t>{11, -11}));
  EXPECT_EQ(metadata.get_ints("i32"), (std::vector<int64_t>{11, -11}));
  EXPECT_NE(error_of([&] { metadata.get_array<uint32_t>("i32"); }), "");
  EXPECT_NE(error_of([&] { metadata.get_ints("u64"); }), "");
  EXPECT_NE(error_of([&] { metadata.get_ints("real"); }), "");
  EXPECT_NE(error_of([&] { metadata.get_ints("bool"); }), "");
}

TEST(Value, PrintsOneLine) {
  EXPECT_EQ(Value(uint8_t{7}).str(), "7");
  EXPECT_EQ(Value(0.1f).str(), "0.100000001");
  EXPECT_EQ(Value(false).str(), "false");
  EXPECT_EQ(Value("a\nb").str(), "\"a\\nb\"");
  EXPECT_EQ(Value(std::vector<int32_t>{1, 2, 3}).str(2), "[1, 2, ...] (3)");
  EXPECT_EQ(Value(std::vector<std::string>{"x"}).str(), "[\"x\"]");
  EXPECT_EQ(Value(std::vector<bool>{true, false}).str(), "[true, false]");
  EXPECT_EQ(Value(std::vector<float>{}).str(), "[]");
  EXPECT_EQ(Value(std::vector<float>{}).type_name(), "array of f32");
  EXPECT_EQ(Value(uint64_t{1}).type_name(), "u64");
}

}  // namespace
}  // namespace karat::format
