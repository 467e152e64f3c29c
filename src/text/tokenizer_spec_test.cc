#include "text/tokenizer_spec.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "text/tokenizer.h"
#include "text/tokenizer_testing.h"

namespace karat::text {
namespace {

base::Error refusal(GgufTokenizer gguf) {
  try {
    spec_from_gguf(std::move(gguf));
  } catch (const base::Error& error) {
    return error;
  }
  return {base::ErrorKind::internal, "not refused"};
}

TEST(TokenizerSpecGguf, TakesTheArraysAsTheyAre) {
  const GgufTokenizer gguf = small_gguf();
  const TokenizerSpec spec = spec_from_gguf(gguf);
  EXPECT_EQ(spec.tokens, gguf.tokens);
  EXPECT_EQ(spec.merges, gguf.merges);
  EXPECT_TRUE(spec.nfc);
  ASSERT_EQ(spec.added.size(), 4u);
  EXPECT_EQ(spec.added[0].id, 263u);
  EXPECT_EQ(spec.added[0].content, "<|endoftext|>");
  EXPECT_TRUE(spec.added[0].special);
  EXPECT_EQ(spec.added[3].content, "<think>");
  EXPECT_FALSE(spec.added[3].special);
  EXPECT_EQ(spec.special_id("eos"), 265u);
  EXPECT_EQ(spec.special_id("padding"), 263u);
  EXPECT_EQ(spec.special_id("bos"), std::nullopt);
  EXPECT_EQ(spec.end_ids, (std::vector<uint32_t>{263, 265}));
  EXPECT_EQ(spec.add_bos, false);
  EXPECT_EQ(spec.add_eos, std::nullopt);
}

TEST(TokenizerSpecGguf, RefusesOtherKindsByName) {
  GgufTokenizer gguf = small_gguf();
  gguf.model = "llama";
  EXPECT_EQ(refusal(gguf).kind(), base::ErrorKind::unsupported);
  EXPECT_STREQ(refusal(gguf).what(),
               "small.gguf: tokenizer.ggml.model is 'llama' and tokenizer.ggml.pre 'qwen35'; only "
               "'gpt2' with 'qwen35' is supported");
  gguf = small_gguf();
  gguf.pre = "qwen2\n";
  EXPECT_EQ(refusal(gguf).kind(), base::ErrorKind::unsupported);
  EXPECT_NE(std::string(refusal(gguf).what()).find("'qwen2\\n'"), std::string::npos);
}

TEST(TokenizerSpecGguf, RefusesWhatDoesNotFit) {
  const auto message = [](GgufTokenizer gguf) {
    const base::Error error = refusal(std::move(gguf));
    EXPECT_EQ(error.kind(), base::ErrorKind::bad_input);
    return std::string(error.what());
  };
  GgufTokenizer gguf = small_gguf();
  gguf.types.pop_back();
  EXPECT_EQ(message(gguf), "small.gguf: tokenizer.ggml.token_type has 268 entries, but tokens 269");
  gguf = small_gguf();
  gguf.types[7] = 2;
  EXPECT_EQ(message(gguf),
            "small.gguf: tokenizer.ggml.token_type[7] is 2; 1, 3, 4, 5 and 6 are possible");
  gguf.types[7] = -1;
  EXPECT_NE(message(gguf).find("token_type[7] is -1"), std::string::npos);
  gguf = small_gguf();
  gguf.special_ids[1].id = 269;
  EXPECT_EQ(message(gguf),
            "small.gguf: tokenizer.ggml.padding_token_id is 269, but there are only 269 tokens");
  gguf = small_gguf();
  gguf.merges[2] = "x y";
  EXPECT_EQ(message(gguf), "small.gguf: tokenizer.ggml.merges[2]: 'xy' is not in the vocabulary");
  gguf = small_gguf();
  gguf.tokens[4] = gguf.tokens[3];
  EXPECT_EQ(message(gguf), "small.gguf: tokenizer.ggml.tokens[4]: '\u0103' is already token 3");
  EXPECT_NE(
      message(GgufTokenizer{"f", "gpt2", "qwen35", {}, {}, {}, {}, {}, {}}).find("no token for"),
      std::string::npos);
}

// What a file of the reference converter says, read back, gives the tokenizer of the folder it is
// from.
TEST(TokenizerSpecGguf, GivesTheSameTokenizerAsTheFolder) {
  const TokenizerSpec from_hf = spec_from_hf(read_hf_tokenizer_files(fixture("tiny-random")));
  GgufTokenizer gguf{"tiny.gguf",    from_hf.model,       from_hf.pre,     from_hf.tokens, {},
                     from_hf.merges, from_hf.special_ids, from_hf.add_bos, from_hf.add_eos};
  for (const TokenType type : from_hf.types) gguf.types.push_back(static_cast<int32_t>(type));
  const TokenizerSpec spec = spec_from_gguf(std::move(gguf));
  EXPECT_EQ(spec.end_ids, from_hf.end_ids);
  const Tokenizer a(from_hf), b(spec);
  base::Rng rng(9);
  for (int i = 0; i < 300; ++i) {
    std::string text = random_text(rng, 20);
    text += from_hf.added[rng.below(from_hf.added.size())].content;
    EXPECT_EQ(a.encode(text, {.parse_special = true}), b.encode(text, {.parse_special = true}));
    EXPECT_EQ(a.encode(text), b.encode(text));
  }
}

}  // namespace
}  // namespace karat::text
