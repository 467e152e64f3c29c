#include "format/sniff.h"

#include <gtest/gtest.h>

#include "support/hostile.h"

namespace karat::format {
namespace {

std::string look(const std::string& text) {
  return look_of(std::as_bytes(std::span(text.data(), text.size())));
}

TEST(Sniff, NamesWhatItKnows) {
  for (const test::HostileFile& file : test::other_files()) {
    if (file.name == "empty" || file.name == "one-byte") continue;
    EXPECT_NE(look(file.bytes).find(file.words), std::string::npos)
        << file.name << ": " << look(file.bytes);
  }
  EXPECT_EQ(look(test::small_gguf().str()), "a GGUF file");
  EXPECT_EQ(look(test::small_safetensors()), "a safetensors file");
  EXPECT_EQ(look("{\"a\": 1}"), "JSON text");
  EXPECT_EQ(look("  <HTML>"), look("<!doctype html>"));
  EXPECT_EQ(look(test::raw(int32_t{34}) + test::raw(int32_t{20}) + "blk.0.attn_k.weight"),
            "an imatrix of the old .dat layout");
}

TEST(Sniff, SaysNothingOfTheRest) {
  EXPECT_EQ(look(""), "");
  EXPECT_EQ(look("\x01\x02\x03\x04\xff\xfe"), "");
  EXPECT_EQ(look("abc\xff def"), "");
}

TEST(Sniff, ACutCharacterIsStillText) { EXPECT_EQ(look("na\xc3\xafve \xe2\x82"), "plain text"); }

}  // namespace
}  // namespace karat::format
