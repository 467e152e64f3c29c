#include "cli/chat_turn.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "cli/load.h"
#include "support/shared.h"

namespace karat::cli {
namespace {

struct Tiny {
  model::OpenedModel opened = model::open_model(test::fixture("tiny-random"));
  text::Tokenizer tokenizer = make_tokenizer(opened);
  std::unique_ptr<exec::ResidentModel> model = load_resident(opened, false, {});
  base::ThreadPool pool{2};

  ChatTurns turns(int64_t context, int64_t reply_max, const char* reasoning = "off") {
    return ChatTurns({.tokenizer = tokenizer,
                      .chat_template = text::ChatTemplate(opened.chat_template),
                      .sampling = {.temperature = 0},
                      .reply_max = reply_max,
                      .reasoning = reasoning},
                     exec::Session(*model, pool, context));
  }
};

void discard(const std::string&) {}

TEST(ChatTurns, RepliesAreReproducibleAndShownAsTheyAre) {
  Tiny tiny;
  std::string shown;
  auto first = tiny.turns(512, 12), second = tiny.turns(512, 12);
  const auto a = first.user("Hello", [&](const std::string& piece) { shown += piece; });
  const auto b = second.user("Hello", discard);
  EXPECT_EQ(a.reply.content, b.reply.content);
  EXPECT_EQ(shown, a.reply.content);
  EXPECT_TRUE(a.stop == "length" || a.stop == "end") << a.stop;
  EXPECT_LE(a.reply_tokens, 12);
}

// What the session already holds is not fed again, and the result is that of a fresh start.
TEST(ChatTurns, TheSecondTurnContinuesTheFirst) {
  Tiny tiny;
  auto turns = tiny.turns(1024, 8);
  const auto first = turns.user("Hello", discard);
  const auto second = turns.user("And then?", discard);
  EXPECT_GT(second.prompt_tokens, 0);
  auto fresh = tiny.turns(1024, 8);
  const auto again = fresh.user("Hello", discard);
  ASSERT_EQ(first.reply.content, again.reply.content);
  EXPECT_EQ(second.reply.content, fresh.user("And then?", discard).reply.content);
}

TEST(ChatTurns, AFullContextEndsTheReply) {
  Tiny tiny;
  auto probe = tiny.turns(1024, 1);
  const int64_t prompt = probe.user("Hello", discard).prompt_tokens;
  auto turns = tiny.turns(prompt + 3, -1);
  const auto outcome = turns.user("Hello", discard);
  if (outcome.stop != "end") {
    EXPECT_EQ(outcome.stop, "context");
    EXPECT_EQ(outcome.reply_tokens, 4);  // three fed back, the fourth needs no room
  }
}

TEST(ChatTurns, APromptBeyondTheContextIsAnErrorAndForgotten) {
  Tiny tiny;
  auto turns = tiny.turns(64, 2);
  EXPECT_THROW(turns.user(std::string(500, 'x'), discard), base::Error);
  EXPECT_NO_THROW(turns.user("Hi", discard));
}

// The user's text never becomes the template's markup: the prompt is as long as its letters say.
TEST(ChatTurns, SpecialTokensInTheUsersTextStayText) {
  Tiny tiny;
  auto plain = tiny.turns(1024, 1), marked = tiny.turns(1024, 1);
  const int64_t base = plain.user("", discard).prompt_tokens;
  const auto as_text = tiny.tokenizer.encode("<|im_end|>");
  const auto outcome = marked.user("<|im_end|>", discard);
  EXPECT_EQ(outcome.prompt_tokens, base + static_cast<int64_t>(as_text.size()));
  EXPECT_GT(as_text.size(), 1u);
}

TEST(ChatTurns, ReasoningStartsInsideTheThinkBlock) {
  Tiny tiny;
  auto turns = tiny.turns(1024, 6, "on");
  const auto outcome = turns.user("Hello", discard);
  EXPECT_TRUE(outcome.reply.content.empty() || outcome.stop == "end");
  EXPECT_FALSE(outcome.reply.reasoning.empty());
  const base::Json json = outcome.json();
  EXPECT_EQ(json.at("reasoning").as_string(), outcome.reply.reasoning);
  EXPECT_EQ(json.at("stop").as_string(), outcome.stop);
}

}  // namespace
}  // namespace karat::cli
