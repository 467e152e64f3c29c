// The tokenizer against the recorded results of the reference library, which rest on public texts
// and so stay outside the repository; and against what is known of the real vocabulary.
#include <gtest/gtest.h>

#include <algorithm>
#include <sstream>

#include "text/pretokenizer.h"
#include "text/tokenizer.h"
#include "text/tokenizer_testing.h"

namespace karat::text {
namespace {

using base::Json;
using Ids = std::vector<uint32_t>;

std::optional<Json> shared_json(const std::string& name) {
  const auto path = shared_path(name);
  if (!path) return std::nullopt;
  return base::parse_json(base::read_file(*path), {.name = *path});
}

Ids to_ids(const Json& list) {
  Ids ids;
  for (const Json& id : list.as_array()) ids.push_back(static_cast<uint32_t>(id.as_uint()));
  return ids;
}

struct Golden {
  const char* file;
  const char* folder;
};

class TokenizerGolden : public testing::TestWithParam<Golden> {
 protected:
  void SetUp() override {
    goldens_ = shared_json(std::string("fixtures/goldens/tokenizer/") + GetParam().file);
    if (!goldens_) GTEST_SKIP() << "the recorded strings (../shared/fixtures) are not here";
    tokenizer_ = std::make_unique<Tokenizer>(
        spec_from_hf(read_hf_tokenizer_files(fixture(GetParam().folder))));
  }

  std::optional<Json> goldens_;
  std::unique_ptr<Tokenizer> tokenizer_;
};

TEST_P(TokenizerGolden, Strings) {
  size_t count = 0, with_pieces = 0;
  for (const Json& item : goldens_->at("cases").as_array()) {
    const std::string& text = item.at("text").as_string();
    const Ids expected = to_ids(item.at("ids"));
    EXPECT_EQ(tokenizer_->encode(text, {.parse_special = true}), expected) << text;
    EXPECT_EQ(tokenizer_->decode(expected), item.at("decoded").as_string());
    if (const Json* skipped = item.find("decoded_skip_special")) {
      EXPECT_EQ(tokenizer_->decode(expected, {.skip_special = true}), skipped->as_string());
    }
    if (const Json* pieces = item.find("pieces")) {
      const std::string normal = nfc(text);
      std::vector<std::string> wanted, got;
      for (const Json& piece : pieces->as_array()) wanted.push_back(piece.as_string());
      for (const std::string_view piece : split(normal)) got.emplace_back(piece);
      EXPECT_EQ(got, wanted) << text;
      ++with_pieces;
    }
    ++count;
  }
  EXPECT_EQ(count, 477u);
  EXPECT_TRUE(with_pieces > 300 || std::string(GetParam().folder) != "tiny-random");
}

TEST_P(TokenizerGolden, Streams) {
  size_t count = 0;
  for (const Json& stream : goldens_->at("streams").as_array()) {
    const Ids ids = to_ids(stream.at("ids"));
    IncrementalDecoder decoder(*tokenizer_);
    std::string whole;
    for (size_t i = 0; i < ids.size(); ++i) {
      const std::string part = decoder.push(ids[i]);
      EXPECT_EQ(part, stream.at("increments").as_array()[i].as_string())
          << stream.at("label").as_string() << " " << i;
      whole += part;
    }
    const std::string rest = decoder.flush();
    EXPECT_EQ(rest, stream.at("flush").as_string());
    EXPECT_EQ(whole + rest, stream.at("decoded").as_string());
    EXPECT_EQ(tokenizer_->decode(ids), stream.at("decoded").as_string());
    ++count;
  }
  EXPECT_EQ(count, 27u);
}

INSTANTIATE_TEST_SUITE_P(Fixtures, TokenizerGolden,
                         testing::Values(Golden{"tiny512.json", "tiny-random"},
                                         Golden{"mini4096.json", "tokenizer-4096"}),
                         [](const auto& test) {
                           return std::string(test.param.file).substr(0, 4);
                         });

// llama.cpp does everything but NFC: without it the results are the same.
TEST(TokenizerAgainstLlamaCpp, DiffersByNfcOnly) {
  const auto list = shared_json("fixtures/goldens/tokenizer/llama_cpp_differences.json");
  if (!list) GTEST_SKIP() << "the recorded strings (../shared/fixtures) are not here";
  TokenizerSpec spec = spec_from_hf(read_hf_tokenizer_files(fixture("tiny-random")));
  const Tokenizer reference(spec);
  spec.nfc = false;
  const Tokenizer without(spec);
  size_t count = 0;
  for (const Json& item : list->at("different").as_array()) {
    const std::string& text = item.at("text").as_string();
    EXPECT_EQ(reference.encode(text, {.parse_special = true}), to_ids(item.at("hf_ids")));
    EXPECT_EQ(without.encode(text, {.parse_special = true}), to_ids(item.at("llama_cpp_ids")));
    ++count;
  }
  EXPECT_EQ(count, 26u);
}

// The real vocabulary, as far as its merges tell: bytes in the order of the alphabet's code points
// that stand for themselves, then the others, then each merge's product. Real ids are larger by the
// number of entries before them that no merge reaches: 0 to 201 of them, more with rising id.
TokenizerSpec real_spec(const std::string& folder) {
  GgufTokenizer gguf{"merges.txt", "gpt2", "qwen35", {}, {}, {}, {}, {}, {}};
  std::vector<std::string> shifted;
  for (int byte = 0; byte < 256; ++byte) {
    const std::string letter = byte_to_alphabet(static_cast<uint8_t>(byte));
    size_t at = 0;
    (next_char(letter, at) < 0x100 ? gguf.tokens : shifted).push_back(letter);
  }
  gguf.tokens.insert(gguf.tokens.end(), shifted.begin(), shifted.end());
  std::istringstream lines(base::read_file(folder + "/merges.txt"));
  for (std::string line; std::getline(lines, line);) {
    gguf.merges.push_back(line);
    std::string product = line;
    product.erase(product.find(' '), 1);
    gguf.tokens.push_back(product);
  }
  gguf.types.assign(gguf.tokens.size(), 1);
  // As many rows as the base vocabulary has, then the added tokens at their real ids.
  for (size_t id = gguf.tokens.size(); id < 248044; ++id) {
    gguf.tokens.push_back("[PAD" + std::to_string(id) + "]");
    gguf.types.push_back(5);
  }
  const std::string name = folder + "/tokenizer_config.json";
  const Json config = base::parse_json(base::read_file(name));
  for (const auto& [id, token] : config.at("added_tokens_decoder").as_object()) {
    EXPECT_EQ(std::stoul(id), gguf.tokens.size());
    gguf.tokens.push_back(token.at("content").as_string());
    gguf.types.push_back(token.at("special").as_bool() ? 3 : 4);
  }
  EXPECT_EQ(config.at("pretokenize_regex").as_string(), kPretokenizerRegex);
  return spec_from_gguf(std::move(gguf));
}

class RealVocabulary : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    const auto folder = shared_path("data/tokenizer-qwen3.5");
    if (folder) tokenizer_ = std::make_unique<Tokenizer>(real_spec(*folder));
  }
  static void TearDownTestSuite() { tokenizer_.reset(); }
  void SetUp() override {
    if (!tokenizer_)
      GTEST_SKIP() << "the real merges (../shared/data/tokenizer-qwen3.5) are not here";
  }
  static std::unique_ptr<Tokenizer> tokenizer_;
};
std::unique_ptr<Tokenizer> RealVocabulary::tokenizer_;

TEST_F(RealVocabulary, Counts) {
  const TokenizerSpec& spec = tokenizer_->spec();
  EXPECT_EQ(spec.merges.size(), 247587u);
  EXPECT_EQ(std::ranges::count(spec.types, TokenType::normal), 256 + 247587);
  EXPECT_EQ(std::ranges::count(spec.types, TokenType::unused), 201);
  EXPECT_EQ(tokenizer_->vocab_size(), 248077u);
}

TEST_F(RealVocabulary, Anchors) {
  std::vector<std::pair<std::string, Ids>> anchors = {
      {"Hello world! 1234 can't I'VE",
       {9419, 1814, 0, 220, 16, 17, 18, 19, 628, 914, 353, 6, 4343}},
      {"Caf\u00E9 \u2014 \u03BA\u03CC\u03C3\u03BC\u03BF\u03C2 \U0001F680",
       {34, 2492, 933, 1892, 166265, 203260, 10838, 248, 222}},
      {"\u0915\u094D", {149567}},
      {" <think> hi </think>", {220, 248068, 15131, 220, 248069}},
      {"<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n",
       {248045, 846, 198, 9419, 248046, 198, 248045, 74455, 198}},
      {"<think>\n\n</think>\n\n", {248068, 271, 248069, 271}},
      {"<|im_start|>system\nBe concise.<|im_end|>\n",
       {248045, 8678, 198, 3320, 61446, 13, 248046, 198}}};
  const auto folder = shared_path("data/tokenizer-qwen3.5");
  const Json list = base::parse_json(base::read_file(*folder + "/id_anchors.json"));
  for (const Json& anchor : list.at("anchors").as_array()) {
    anchors.emplace_back(anchor.as_array()[0].as_string(), to_ids(anchor.as_array()[1]));
  }
  std::vector<std::pair<uint32_t, uint32_t>> shifts;  // real id, how much larger it is
  for (const auto& [text, expected] : anchors) {
    const Ids ids = tokenizer_->encode(text, {.parse_special = true});
    ASSERT_EQ(ids.size(), expected.size()) << text;
    EXPECT_EQ(tokenizer_->decode(ids), text);
    for (size_t i = 0; i < ids.size(); ++i) {
      if (ids[i] >= 248044) {
        EXPECT_EQ(ids[i], expected[i]) << text;
      } else {
        ASSERT_GE(expected[i], ids[i]) << text;
        shifts.emplace_back(expected[i], expected[i] - ids[i]);
      }
    }
  }
  std::ranges::sort(shifts);
  uint32_t last = 0;
  for (const auto& [id, shift] : shifts) {
    EXPECT_GE(shift, last) << id;
    EXPECT_LE(shift, 201u) << id;
    EXPECT_TRUE(id > 88005 || shift == 0) << id;
    last = shift;
  }
}

// Every product of a merge that is reached at all is reached from its own text or by shorter steps;
// either way the text comes back.
TEST_F(RealVocabulary, ProductsRoundTrip) {
  size_t alone = 0, checked = 0;
  for (uint32_t id = 256; id < 247843; id += 7) {
    const std::string bytes(tokenizer_->token_bytes(id));
    if (repair_utf8(bytes) != bytes || nfc(bytes) != bytes) continue;
    const Ids ids = tokenizer_->encode(bytes);
    ASSERT_EQ(tokenizer_->decode(ids), bytes) << id;
    alone += ids == Ids{id};
    ++checked;
  }
  EXPECT_GT(checked, 30000u);
  EXPECT_GT(alone, checked * 99 / 100);
}

}  // namespace
}  // namespace karat::text
