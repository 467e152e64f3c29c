#include "base/text.h"

#include <gtest/gtest.h>

namespace karat::base {
namespace {

TEST(Text, Strf) {
  EXPECT_EQ(strf("%d %s", 3, "x"), "3 x");
  const std::string large(5000, 'a');
  EXPECT_EQ(strf("%s!", large.c_str()), large + "!");
}

TEST(Text, Utf8) {
  for (const char* good : {"", "abc", "\xC2\x80", "\xDF\xBF", "\xE0\xA0\x80", "\xED\x9F\xBF",
                           "\xEE\x80\x80", "\xF0\x90\x80\x80", "\xF4\x8F\xBF\xBF"}) {
    EXPECT_TRUE(is_utf8(good)) << printable(good);
  }
  for (const char* bad :
       {"\x80", "\xC1\xBF", "\xC2", "\xC2\x41", "\xE0\x9F\xBF", "\xED\xA0\x80", "\xE1\x80",
        "\xF0\x8F\xBF\xBF", "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xFE", "a\xFF"}) {
    EXPECT_FALSE(is_utf8(bad)) << printable(bad);
  }
}

TEST(Text, PrintableStaysOneHarmlessLine) {
  EXPECT_EQ(printable("blk.0.attn_q.weight"), "blk.0.attn_q.weight");
  EXPECT_EQ(printable("\xE6\xBC\xA2 \xC3\xA9"), "\xE6\xBC\xA2 \xC3\xA9");
  EXPECT_EQ(printable("a\nb\r\t\x1b[31m\x7f"), "a\\nb\\x0d\\x09\\x1b[31m\\x7f");
  EXPECT_EQ(printable(std::string_view("\0x", 2)), "\\x00x");
  EXPECT_EQ(printable("\xC2\x9B"), "\\xc2\\x9b");  // C1: control sequence introducer
  EXPECT_EQ(printable("\xE2\x80\xAE"
                      "x"),
            "\\xe2\\x80\\xaex");                            // right-to-left override
  EXPECT_EQ(printable("\xE2\x80\xA8"), "\\xe2\\x80\\xa8");  // line separator
  EXPECT_EQ(printable("\xE2\x80\x93"), "\xE2\x80\x93");     // an en dash is fine
  EXPECT_EQ(printable("a\xFF\xC3"), "a\\xff\\xc3");
}

TEST(Text, PrintableIsCutAtACharacter) {
  EXPECT_EQ(printable("12345678", 8), "12345678");
  EXPECT_EQ(printable("123456789", 8), "12345...");
  EXPECT_EQ(printable("1234\xC3\xA9\xC3\xA9\xC3\xA9", 8), "1234...");
  EXPECT_EQ(printable("\n\n\n\n\n", 8), "\\n\\n...");
  EXPECT_EQ(printable(std::string(1000, '\x01')).size(), 199u);  // 49 escapes of four, "..."
}

TEST(Text, BothUnits) {
  EXPECT_EQ(both_units(0), "0 bytes");
  EXPECT_EQ(both_units(9999), "9999 bytes");
  EXPECT_EQ(both_units(10240), "10.0 KiB (10.2 KB)");
  EXPECT_EQ(both_units(13494656), "12.87 MiB (13.49 MB)");
  EXPECT_EQ(both_units(21474836480), "20.00 GiB (21.47 GB)");
}

TEST(Text, ParseBytes) {
  EXPECT_EQ(parse_bytes("0"), 0u);
  EXPECT_EQ(parse_bytes("1000"), 1000u);
  EXPECT_EQ(parse_bytes("10B"), 10u);
  EXPECT_EQ(parse_bytes("9007199254740993"), 9007199254740993u);
  EXPECT_EQ(parse_bytes("18446744073709551615"), UINT64_MAX);
  EXPECT_EQ(parse_bytes("8G"), 8'000'000'000u);
  EXPECT_EQ(parse_bytes("8GB"), 8'000'000'000u);
  EXPECT_EQ(parse_bytes("8GiB"), uint64_t{8} << 30);
  EXPECT_EQ(parse_bytes("2.5GiB"), uint64_t{5} << 29);
  EXPECT_EQ(parse_bytes("1.5K"), 1500u);
  EXPECT_EQ(parse_bytes("3T"), 3'000'000'000'000u);
  EXPECT_EQ(parse_bytes("1TiB"), uint64_t{1} << 40);
  for (const char* bad : {"",
                          "G",
                          "-1",
                          "+1",
                          "1g",
                          "1 G",
                          "1Gib",
                          "1GG",
                          "0x10",
                          "1e3",
                          "1.",
                          ".5",
                          "1.K",
                          "1.2.3",
                          "inf",
                          "nan",
                          "18446744073709551616",
                          "99999999999T",
                          "1P",
                          "1iB",
                          " 1",
                          "1\n"}) {
    EXPECT_FALSE(parse_bytes(bad).has_value()) << bad;
  }
}

TEST(Text, DidYouMean) {
  const std::vector<std::string> verbs = {"convert", "quantize", "calibrate", "chat"};
  EXPECT_EQ(did_you_mean("quantise", verbs), "quantize");
  EXPECT_EQ(did_you_mean("covnert", verbs), "convert");
  EXPECT_EQ(did_you_mean("cha", verbs), "chat");
  EXPECT_EQ(did_you_mean("mrege", {"merge", "verify"}), "merge");
  EXPECT_EQ(did_you_mean("ab", {"ba"}), "ba");
  EXPECT_EQ(did_you_mean("q4km", {"Q4_0", "Q4_K_M", "Q4_K_S"}), "Q4_K_M");
  EXPECT_EQ(did_you_mean("--ctxsize", {"--ctx-size", "--chunks"}), "--ctx-size");
  EXPECT_EQ(did_you_mean("", verbs), std::nullopt);
  EXPECT_EQ(did_you_mean("serve", verbs), std::nullopt);
  EXPECT_EQ(did_you_mean("x", {}), std::nullopt);
}

TEST(Text, StartsAndEnds) {
  EXPECT_TRUE(starts_with("model.gguf", "model"));
  EXPECT_FALSE(starts_with("mod", "model"));
  EXPECT_TRUE(ends_with("model.gguf", ".gguf"));
  EXPECT_FALSE(ends_with("gguf", ".gguf"));
}

}  // namespace
}  // namespace karat::base
