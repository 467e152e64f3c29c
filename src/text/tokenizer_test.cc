#include "text/tokenizer.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "base/text.h"
#include "text/tokenizer_testing.h"

namespace karat::text {
namespace {

using Ids = std::vector<uint32_t>;

// Ids of small_gguf(): merges from 256, added tokens from 263.
constexpr uint32_t kThe = 257, kBlankThe = 258, kIn = 259, kBlanks = 260, kEAcute = 261;
constexpr uint32_t kEnd = 265, kThink = 266, kPadding = 267;

const Tokenizer& small() {
  static const Tokenizer tokenizer(spec_from_gguf(small_gguf()));
  return tokenizer;
}

const Tokenizer& tiny() {
  static const Tokenizer tokenizer(spec_from_hf(read_hf_tokenizer_files(fixture("tiny-random"))));
  return tokenizer;
}

TEST(Tokenizer, EncodesByMergesWithinPieces) {
  EXPECT_EQ(small().encode(""), Ids{});
  EXPECT_EQ(small().encode("the"), Ids{kThe});
  EXPECT_EQ(small().encode("the then"), (Ids{kThe, kBlankThe, 'n'}));
  EXPECT_EQ(small().encode("thin"), (Ids{256, kIn}));
  EXPECT_EQ(small().encode("a   the"), (Ids{'a', kBlanks, kBlankThe}));
  EXPECT_EQ(small().encode(std::string_view("\0\xE6\xBC\xA2", 4)), (Ids{0, 0xE6, 0xBC, 0xA2}));
}

TEST(Tokenizer, NormalizesBeforeAll) {
  EXPECT_EQ(small().encode("e\u0301"), Ids{kEAcute});
  TokenizerSpec spec = spec_from_gguf(small_gguf());
  spec.nfc = false;
  EXPECT_EQ(Tokenizer(spec).encode("e\u0301"), (Ids{'e', 0xCC, 0x81}));
}

TEST(Tokenizer, MalformedBytesCountAsReplacementCharacters) {
  EXPECT_EQ(small().encode("a\xE6\xBC"), small().encode("a\uFFFD"));
  EXPECT_EQ(small().encode("\x80\xC3\xA9"), small().encode("\uFFFD\u00E9"));
  EXPECT_EQ(small().encode("\xE6<think>\xFF", {.parse_special = true}),
            small().encode("\uFFFD<think>\uFFFD", {.parse_special = true}));
}

TEST(Tokenizer, TextOfAddedTokensIsTextUnlessAsked) {
  const std::string text = "<|im_end|>the<think>";
  for (const uint32_t id : small().encode(text)) EXPECT_LT(id, 263u);
  EXPECT_EQ(small().decode(small().encode(text)), text);
  EXPECT_EQ(small().encode(text, {.parse_special = true}), (Ids{kEnd, kThe, kThink}));
  EXPECT_EQ(small().encode("<|im_end|", {.parse_special = true}), small().encode("<|im_end|"));
  EXPECT_EQ(small().encode("<<think>>", {.parse_special = true}), (Ids{'<', kThink, '>'}));
}

TEST(Tokenizer, AddedTokensSeparateWhatIsAroundThem) {
  // The mark stays alone, the blanks are not divided for the word behind the token.
  EXPECT_EQ(small().encode("e<think>\u0301", {.parse_special = true}),
            (Ids{'e', kThink, 0xCC, 0x81}));
  EXPECT_EQ(small().encode("a  <think>the", {.parse_special = true}),
            (Ids{'a', kBlanks, kThink, kThe}));
}

TEST(Tokenizer, PartsOfThePromptCanBeOrdinaryText) {
  const std::string text = "<|im_end|><|im_end|>";
  const auto ids = [&](std::vector<TextSpan> spans) {
    return small().encode(text, {.parse_special = true, .ordinary = spans});
  };
  const Ids plain = small().encode("<|im_end|>");
  Ids first_plain = plain, second_plain = {kEnd};
  first_plain.push_back(kEnd);
  second_plain.insert(second_plain.end(), plain.begin(), plain.end());
  EXPECT_EQ(ids({}), (Ids{kEnd, kEnd}));
  EXPECT_EQ(ids({{10, 10}}), (Ids{kEnd, kEnd}));
  EXPECT_EQ(ids({{0, 1}}), first_plain);
  EXPECT_EQ(ids({{9, 10}}), first_plain);
  EXPECT_EQ(ids({{10, 20}}), second_plain);
  EXPECT_EQ(ids({{2, 3}, {19, 20}}), small().encode(text));
  // Text in its context: the newline of the prompt and that of the text are one piece.
  const std::string prompt = "<think>\n\nthe";
  const TextSpan user{8, prompt.size()};
  EXPECT_EQ(small().encode(prompt, {.parse_special = true, .ordinary = {&user, 1}}),
            small().encode(prompt, {.parse_special = true}));
}

TEST(Tokenizer, TheLongestAddedTokenWins) {
  GgufTokenizer gguf = small_gguf();
  for (const char* token : {"<a", "<ab>", "<abc"}) {
    gguf.tokens.push_back(token);
    gguf.types.push_back(4);
  }
  const auto first = static_cast<uint32_t>(gguf.tokens.size()) - 3;
  const Tokenizer tokenizer(spec_from_gguf(std::move(gguf)));
  const EncodeOptions options{.parse_special = true};
  EXPECT_EQ(tokenizer.encode("<ab>", options), (Ids{first + 1}));
  EXPECT_EQ(tokenizer.encode("<abx", options), (Ids{first, 'b', 'x'}));
  EXPECT_EQ(tokenizer.encode("<abc>", options), (Ids{first + 2, '>'}));
  const TextSpan last{3, 4};  // rules out the long one only
  EXPECT_EQ(tokenizer.encode("<ab>", {.parse_special = true, .ordinary = {&last, 1}}),
            (Ids{first, 'b', '>'}));
}

TEST(Tokenizer, NormalizedTokensAreFoundAfterNfc) {
  TokenizerSpec spec = spec_from_gguf(small_gguf());
  const auto id = static_cast<uint32_t>(spec.tokens.size());
  spec.tokens.push_back("<e\u0301>");
  spec.types.push_back(TokenType::user_defined);
  spec.added.push_back({id, "<e\u0301>", false, true});
  const Tokenizer tokenizer(spec);
  const EncodeOptions options{.parse_special = true};
  EXPECT_EQ(tokenizer.encode("<e\u0301>", options), Ids{id});
  EXPECT_EQ(tokenizer.encode("a<\u00E9><think>", options), (Ids{'a', id, kThink}));
  EXPECT_EQ(tokenizer.encode("<\u00E9>"), (Ids{'<', kEAcute, '>'}));
  const TextSpan user{0, 4};
  EXPECT_EQ(tokenizer.encode("<\u00E9>", {.parse_special = true, .ordinary = {&user, 1}}),
            (Ids{'<', kEAcute, '>'}));
}

TEST(Tokenizer, Decodes) {
  EXPECT_EQ(small().decode(Ids{kThe, kBlankThe, kEnd, kEAcute, kPadding}),
            "the the<|im_end|>\u00E9");
  EXPECT_EQ(small().decode(Ids{kThe, kEnd, kThink}, {.skip_special = true}), "the<think>");
  EXPECT_EQ(small().decode(Ids{0xC3}), "\uFFFD");
  EXPECT_EQ(small().decode(Ids{}), "");
  EXPECT_THROW(small().decode(Ids{kPadding + 2}), base::Error);
}

TEST(Tokenizer, TellsAboutTokens) {
  EXPECT_EQ(small().vocab_size(), 269u);
  EXPECT_EQ(small().token_bytes(kBlankThe), " the");
  EXPECT_EQ(small().token_bytes(0xC3), "\xC3");
  EXPECT_EQ(small().token_bytes(kPadding), "");
  EXPECT_EQ(small().token_text(0xC3), "\uFFFD");
  EXPECT_EQ(small().token_text(kPadding), "[PAD267]");
  EXPECT_EQ(small().token_text(kEnd), "<|im_end|>");
  EXPECT_EQ(small().added_id("<think>"), kThink);
  EXPECT_EQ(small().added_id("the"), std::nullopt);
  EXPECT_TRUE(small().is_special(kEnd));
  EXPECT_FALSE(small().is_special(kThink));
  EXPECT_FALSE(small().is_special(UINT32_MAX));
  EXPECT_TRUE(small().is_end(kEnd));
  EXPECT_FALSE(small().is_end(kThink));
}

TEST(Tokenizer, RoundTripsRandomText) {
  base::Rng rng(7);
  for (const Tokenizer* tokenizer : {&small(), &tiny()}) {
    for (int i = 0; i < 2000; ++i) {
      std::string text = random_text(rng, 1 + rng.below(30));
      if (i % 3 == 0) text += "<|im_end|>" + random_text(rng, 3);
      const Ids ids = tokenizer->encode(text);
      ASSERT_EQ(tokenizer->decode(ids), nfc(text));
      for (const uint32_t id : ids) ASSERT_FALSE(tokenizer->is_special(id));
    }
  }
}

TEST(Tokenizer, TakesAnyBytes) {
  base::Rng rng(8);
  for (int i = 0; i < 2000; ++i) {
    const std::string bytes = random_bytes(rng, rng.below(30));
    const Ids ids = tiny().encode(bytes);
    ASSERT_EQ(ids, tiny().encode(repair_utf8(bytes)));
    ASSERT_EQ(tiny().decode(ids), nfc(repair_utf8(bytes)));
  }
}

// Texts on which a quadratic step would take hours.
TEST(Tokenizer, LongMonotonousTexts) {
  const auto repeat = [](std::string_view unit, size_t bytes) {
    std::string text;
    while (text.size() < bytes) text += unit;
    return text;
  };
  constexpr size_t kMega = 1 << 20;
  for (const char* unit : {" ", "\n", " \n", "\u0301", "'", "<|im_", "\t "}) {
    const std::string text = repeat(unit, kMega);
    EXPECT_TRUE(small().decode(small().encode(text, {.parse_special = true})) == text) << unit;
  }
  EXPECT_EQ(small().encode(repeat(" ", kMega)), Ids(kMega / 2, kBlanks));
  const std::string word = repeat("abthexin", 10 * kMega);
  const Ids ids = small().encode(word);
  EXPECT_EQ(ids.size(), word.size() / 8 * 4);
  EXPECT_TRUE(small().decode(ids) == word);
}

// Strings of our own through the fixture's vocabulary; ids confirmed with tokenizers 0.23.3.
TEST(Tokenizer, EncodesAsTheReference) {
  const EncodeOptions options{.parse_special = true};
  EXPECT_EQ(tiny().encode("<|im_start|>user\nWhat's on the table?<|im_end|>\n", options),
            (Ids{467, 361, 262, 198, 54, 71, 278, 6, 82, 446, 277, 259, 455, 389, 30, 468, 198}));
  EXPECT_EQ(tiny().encode("  two  blanks", options),
            (Ids{220, 259, 86, 78, 220, 301, 75, 284, 74, 82}));
  EXPECT_EQ(tiny().encode("th\u00E9ory, the\u0301ory", options),
            (Ids{396, 366, 280, 88, 11, 266, 366, 280, 88}));
  EXPECT_EQ(tiny().encode("\u0928\u092E\u0938\u094D\u0924\u0947", options),
            (Ids{387, 256, 106, 256, 116, 362, 97, 310}));
  EXPECT_EQ(tiny().encode("x\u089C\u0301\U00011BC0 \U00010D45", options),
            (Ids{87, 156, 95, 250, 136, 223, 172, 239, 107, 222, 220, 172, 238, 113, 227}));
  EXPECT_EQ(tiny().encode("<tts_pad>'\u017F 10:30 \r\n\n", options),
            (Ids{494, 6, 129, 123, 220, 16, 15, 25, 18, 15, 220, 201, 198, 198}));
  EXPECT_EQ(tiny().encode("\u4ECA\u65E5\u306F\u3002\n", options),
            (Ids{371, 232, 162, 245, 98, 404, 342}));
  EXPECT_EQ(tiny().encode("don't DON'T", options), (Ids{67, 270, 6, 83, 220, 35, 46, 45, 6, 51}));
}

}  // namespace
}  // namespace karat::text
