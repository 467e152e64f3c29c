#include "calib/corpus.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "model/open.h"
#include "support/files.h"
#include "support/shared.h"

namespace karat::calib {
namespace {

const text::Tokenizer& tokenizer() {
  static const text::Tokenizer instance(*model::open_model(test::fixture("tiny-random")).tokenizer);
  return instance;
}

std::string error_of(const std::vector<std::string>& files, const CorpusOptions& options) {
  try {
    read_corpus(files, tokenizer(), options);
  } catch (const base::Error& error) {
    return error.what();
  }
  return "";
}

TEST(Corpus, FilesFollowOneAnotherAndRemaindersAreDropped) {
  const test::TempDir folder;
  const std::string a = folder.write("a.txt", "one two three four five six seven eight");
  const std::string b = folder.write("b.txt", "nine ten eleven twelve thirteen");
  const auto first = tokenizer().encode("one two three four five six seven eight");
  const auto second = tokenizer().encode("nine ten eleven twelve thirteen");
  const Corpus corpus = read_corpus({a, b}, tokenizer(), {.chunk_size = 7});
  ASSERT_EQ(corpus.tokens.size(), first.size() + second.size());
  EXPECT_EQ(corpus.tokens[first.size()], static_cast<int32_t>(second[0]));
  EXPECT_EQ(corpus.chunks, static_cast<int64_t>(corpus.tokens.size()) / 7);
  EXPECT_EQ(corpus.chunk(1)[0], corpus.tokens[7]);
  EXPECT_EQ(corpus.chunk(1).size(), 7u);
}

TEST(Corpus, LimitsAreWholeChunks) {
  const test::TempDir folder;
  const std::string a = folder.write("a.txt", std::string(400, 'x') + " y z");
  EXPECT_EQ(read_corpus({a}, tokenizer(), {.chunk_size = 5, .chunks_max = 3}).chunks, 3);
  EXPECT_EQ(read_corpus({a}, tokenizer(), {.chunk_size = 5, .tokens_max = 14}).chunks, 2);
  EXPECT_NE(error_of({a}, {.chunk_size = 5, .tokens_max = 4}), "");
}

TEST(Corpus, SpecialTokensAreTextUnlessAskedFor) {
  const test::TempDir folder;
  const std::string a = folder.write("a.txt", "<|im_start|><|im_end|><|im_start|><|im_end|>");
  const size_t as_text = read_corpus({a}, tokenizer(), {.chunk_size = 2}).tokens.size();
  EXPECT_EQ(read_corpus({a}, tokenizer(), {.chunk_size = 2, .parse_special = true}).tokens.size(),
            4u);
  EXPECT_GT(as_text, 4u);
}

TEST(Corpus, SaysWhatIsWrongWithAFile) {
  const test::TempDir folder;
  const std::string empty = folder.write("short.txt", "hi");
  EXPECT_NE(error_of({empty}, {.chunk_size = 64}).find("short.txt"), std::string::npos);
  const std::string binary = folder.write("bin.txt", std::string("ab\0cd", 5));
  EXPECT_NE(error_of({binary}, {}).find("byte 2 is NUL"), std::string::npos);
  EXPECT_NE(error_of({folder.path("none.txt")}, {}).find("none.txt"), std::string::npos);
}

}  // namespace
}  // namespace karat::calib
