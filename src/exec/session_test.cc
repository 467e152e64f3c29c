#include "exec/session.h"

#include <gtest/gtest.h>

#include <string>

#include "base/error.h"
#include "format/gguf.h"

namespace karat::exec {
namespace {

struct Tiny {
  format::GgufSource source{std::string(KARAT_ROOT) + "/tests/fixtures/goldens/gguf/tiny-f32.gguf"};
  ResidentModel model{source, model::config_from_gguf(source.metadata(), "tiny"), false};
  base::ThreadPool pool{2};
};

std::vector<int32_t> tokens(int64_t count) {
  std::vector<int32_t> ids;
  for (int64_t i = 0; i < count; ++i) ids.push_back(static_cast<int32_t>((i * 37 + 5) % 499));
  return ids;
}

TEST(Session, PromptAtOnceOrTokenByTokenIsTheSame) {
  Tiny tiny;
  Session whole(tiny.model, tiny.pool, 1024), pieces(tiny.model, tiny.pool, 1024);
  const std::vector<int32_t> ids = tokens(530);  // more than one piece of 512
  const auto logits = whole.feed(ids);
  const std::vector<float> expected(logits.begin(), logits.end());
  pieces.feed(std::span(ids).first(500));
  std::vector<float> last;
  for (size_t i = 500; i < ids.size(); ++i) {
    const auto row = pieces.feed(std::span(ids).subspan(i, 1));
    last.assign(row.begin(), row.end());
  }
  EXPECT_EQ(last, expected);
  EXPECT_EQ(whole.length(), 530);
  EXPECT_EQ(whole.room(), 1024 - 530);
}

TEST(Session, PiecesOfAnySizeAndCopiesAreTheSame) {
  Tiny tiny;
  const std::vector<int32_t> ids = tokens(90);
  Session whole(tiny.model, tiny.pool, 100), small(tiny.model, tiny.pool, 100);
  const auto logits = whole.feed(ids);
  const std::vector<float> expected(logits.begin(), logits.end());
  small.set_piece_tokens(7);
  small.feed(std::span(ids).first(40));
  Session copy = small;
  small.feed(tokens(30));
  const auto row = copy.feed(std::span(ids).subspan(40));
  EXPECT_EQ(std::vector<float>(row.begin(), row.end()), expected);
  EXPECT_EQ(copy.length(), 90);
  EXPECT_THROW(copy.set_piece_tokens(0), base::Error);
}

TEST(Session, ClearForgets) {
  Tiny tiny;
  Session session(tiny.model, tiny.pool, 64);
  const auto first = session.feed(tokens(5));
  const std::vector<float> expected(first.begin(), first.end());
  session.feed(tokens(7));
  session.clear();
  EXPECT_EQ(session.length(), 0);
  const auto again = session.feed(tokens(5));
  EXPECT_EQ(std::vector<float>(again.begin(), again.end()), expected);
}

TEST(Session, TakesNoMoreThanItsRoom) {
  Tiny tiny;
  Session session(tiny.model, tiny.pool, 4);
  session.feed(tokens(4));
  EXPECT_EQ(session.room(), 0);
  EXPECT_THROW(session.feed(tokens(1)), base::Error);
}

}  // namespace
}  // namespace karat::exec
