#include "text/detokenizer.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "text/tokenizer.h"
#include "text/tokenizer_testing.h"

namespace karat::text {
namespace {

Tokenizer small() { return Tokenizer(spec_from_gguf(small_gguf())); }

TEST(IncrementalDecoder, HoldsBackWhatMayBecomeACharacter) {
  const Tokenizer tokenizer = small();
  IncrementalDecoder decoder(tokenizer);
  EXPECT_EQ(decoder.push('a'), "a");
  EXPECT_EQ(decoder.push(0xF0), "");
  EXPECT_EQ(decoder.push(0x9F), "");
  EXPECT_EQ(decoder.push(0x98), "");
  EXPECT_EQ(decoder.push(0x80), "\U0001F600");
  EXPECT_EQ(decoder.push(0xE6), "");
  EXPECT_EQ(decoder.push('b'),
            "\uFFFD"
            "b");
  EXPECT_EQ(decoder.push(0xC3), "");
  EXPECT_EQ(decoder.flush(), "\uFFFD");
  EXPECT_EQ(decoder.flush(), "");
  EXPECT_EQ(decoder.push('c'), "c");
}

TEST(IncrementalDecoder, AnAddedTokenEndsACutCharacter) {
  const Tokenizer tokenizer = small();
  const uint32_t end = tokenizer.added_id("<|im_end|>").value();
  IncrementalDecoder decoder(tokenizer);
  EXPECT_EQ(decoder.push(0xE6), "");
  EXPECT_EQ(decoder.push(end), "\uFFFD<|im_end|>");
}

TEST(IncrementalDecoder, SkipsSpecialTokensOnly) {
  const Tokenizer tokenizer = small();
  IncrementalDecoder decoder(tokenizer, {.skip_special = true});
  EXPECT_EQ(decoder.push(tokenizer.added_id("<|im_start|>").value()), "");
  EXPECT_EQ(decoder.push(tokenizer.added_id("<think>").value()), "<think>");
  EXPECT_EQ(decoder.push('x'), "x");
}

TEST(IncrementalDecoder, PaddingRowsAreEmptyAndIdsAreChecked) {
  const Tokenizer tokenizer = small();
  const auto size = static_cast<uint32_t>(tokenizer.vocab_size());
  IncrementalDecoder decoder(tokenizer);
  EXPECT_EQ(decoder.push(size - 1), "");
  EXPECT_THROW(decoder.push(size), base::Error);
  EXPECT_THROW(decoder.push(UINT32_MAX), base::Error);
}

TEST(IncrementalDecoder, SumsUpToDecode) {
  const Tokenizer tokenizer = small();
  base::Rng rng(6);
  for (int round = 0; round < 500; ++round) {
    std::vector<uint32_t> ids;
    std::string bytes;
    for (const char c : random_bytes(rng, 20)) ids.push_back(static_cast<uint8_t>(c));
    ids[rng.below(ids.size())] = static_cast<uint32_t>(rng.below(tokenizer.vocab_size()));
    for (const uint32_t id : ids) bytes += tokenizer.token_bytes(id);
    IncrementalDecoder decoder(tokenizer);
    std::string text;
    for (const uint32_t id : ids) text += decoder.push(id);
    text += decoder.flush();
    EXPECT_EQ(text, tokenizer.decode(ids));
    EXPECT_EQ(text, repair_utf8(bytes));
  }
}

}  // namespace
}  // namespace karat::text
