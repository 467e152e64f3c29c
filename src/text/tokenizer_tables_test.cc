#include "text/tokenizer_tables.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "text/tokenizer_testing.h"

namespace karat::text {
namespace {

TokenizerSpec small() { return spec_from_gguf(small_gguf()); }

std::string refusal(const TokenizerSpec& spec) {
  try {
    resolve(spec, {"T", "M", "A"});
  } catch (const base::Error& error) {
    EXPECT_EQ(error.kind(), base::ErrorKind::bad_input);
    return error.what();
  }
  return "";
}

TEST(TokenizerTables, ResolvesBytesAndMerges) {
  const BpeTables tables = resolve(small());
  ASSERT_EQ(tables.byte_ids.size(), 256u);
  for (uint32_t byte = 0; byte < 256; ++byte) EXPECT_EQ(tables.byte_ids[byte], byte);
  ASSERT_EQ(tables.merges.size(), 7u);
  EXPECT_EQ(tables.merges[1].left, 256u);
  EXPECT_EQ(tables.merges[1].right, uint32_t{'e'});
  EXPECT_EQ(tables.merges[1].product, 257u);
}

TEST(TokenizerTables, RefusesBadTokens) {
  TokenizerSpec spec = small();
  spec.tokens[256] = "";
  EXPECT_EQ(refusal(spec), "T[256] is empty");
  spec = small();
  spec.tokens[256] = "\xFF";
  EXPECT_EQ(refusal(spec), "T[256]: '\\xff' is not UTF-8");
  spec = small();
  spec.tokens[260] = spec.tokens[259];
  EXPECT_EQ(refusal(spec), "T[260]: 'in' is already token 259");
  spec = small();
  spec.tokens[65] = "no byte";
  EXPECT_TRUE(refusal(spec).starts_with("T: no token for the byte 0x41"));
  spec.types[65] = TokenType::unused;
  EXPECT_TRUE(refusal(spec).starts_with("T: no token for the byte 0x41"));
  spec = small();
  spec.added[0].content = std::string(kAddedBytesMax + 1, 'x');
  EXPECT_TRUE(refusal(spec).starts_with("A: the text of token 263 has 1025 bytes"));
  spec = small();
  spec.tokens.resize(kTokensMax + 1);
  spec.types.resize(kTokensMax + 1, TokenType::unused);
  EXPECT_TRUE(refusal(spec).starts_with("T: 4194305 entries"));
}

TEST(TokenizerTables, RefusesBadMerges) {
  const auto with = [](const std::string& merge) {
    TokenizerSpec spec = small();
    spec.merges[3] = merge;
    return refusal(spec);
  };
  EXPECT_EQ(with("in"), "M[3]: 'in' is not two tokens with a blank between");
  EXPECT_EQ(with("i n g"), "M[3]: 'i n g' is not two tokens with a blank between");
  EXPECT_EQ(with(" in"), "M[3]: '' is not in the vocabulary");
  EXPECT_EQ(with("zz n"), "M[3]: 'zz' is not in the vocabulary");
  EXPECT_EQ(with("i zz"), "M[3]: 'zz' is not in the vocabulary");
  EXPECT_EQ(with("i z"), "M[3]: 'iz' is not in the vocabulary");
  EXPECT_EQ(with("t h"), "M[3]: 't h' is there twice");
  EXPECT_EQ(with("[PAD2 67]"), "M[3]: '[PAD2' is not in the vocabulary");
  TokenizerSpec spec = small();
  spec.merges.resize(kMergesMax + 1);
  EXPECT_TRUE(refusal(spec).starts_with("M: 4194305 entries"));
}

TEST(TokenizerTables, EndsFollowFromRolesAndTexts) {
  TokenizerSpec spec;
  spec.added = {{5, "<|im_start|>", true, false}, {6, "<|file_sep|>", false, false}};
  spec.special_ids = {{"eos", 9}, {"padding", 3}, {"eot", 2}};
  spec.end_ids = {9, 7};
  add_end_ids(spec);
  EXPECT_EQ(spec.end_ids, (std::vector<uint32_t>{2, 6, 7, 9}));
}

}  // namespace
}  // namespace karat::text
