#include "calib/packet_recipe.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace karat::calib {
namespace {

const std::string kRecipe = R"(schema = 1
tokens = 1000
context = 64
[[domain]]
name = "code"
share = 2
[[domain.source]]
path = "code"
form = "file"
cut = true
[[domain]]
name = "chat"
share = 1
[[domain.source]]
path = "a.jsonl"
form = "chat"
thinking = false
[[evaluation]]
name = "math"
path = "math.jsonl"
form = "json"
fields = ["problem"]
)";

std::string replaced(const std::string& from, const std::string& to) {
  std::string text = kRecipe;
  const size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

std::string error_of(const std::string& text) {
  try {
    parse_packet_recipe(text, "r.toml");
  } catch (const base::Error& error) {
    EXPECT_EQ(error.kind(), base::ErrorKind::bad_input);
    return error.what();
  }
  return "";
}

TEST(PacketRecipe, SaysWhatGoesIn) {
  const PacketRecipe recipe = parse_packet_recipe(kRecipe, "dir/r.toml");
  EXPECT_EQ(recipe.tokens, 1000);
  EXPECT_EQ(recipe.context, 64);
  EXPECT_EQ(recipe.seed, 0u);
  EXPECT_FALSE(recipe.refuse_overlap);
  ASSERT_EQ(recipe.domains.size(), 2u);
  EXPECT_TRUE(recipe.domains[0].sources[0].cut);
  EXPECT_EQ(recipe.domains[1].sources[0].form, DocumentForm::chat);
  EXPECT_EQ(recipe.domains[1].sources[0].thinking, false);
  EXPECT_EQ(recipe.evaluations.at(0).fields, std::vector<std::string>{"problem"});
  EXPECT_EQ(recipe.path_of("x/y"), "dir/x/y");
  EXPECT_EQ(recipe.path_of("/x/y"), "/x/y");
}

TEST(PacketRecipe, BudgetsAddUp) {
  PacketRecipe recipe = parse_packet_recipe(kRecipe, "r.toml");
  EXPECT_EQ(recipe.budgets(), (std::vector<int64_t>{667, 333}));
  recipe.domains[0].share = recipe.domains[1].share = 0.1;
  EXPECT_EQ(recipe.budgets(), (std::vector<int64_t>{500, 500}));
  recipe.tokens = 3;
  EXPECT_EQ(recipe.budgets(), (std::vector<int64_t>{2, 1}));
}

TEST(PacketRecipe, IsStrict) {
  EXPECT_EQ(error_of(replaced("context", "contxt")), "r.toml:1: 'context' is missing here");
  EXPECT_EQ(error_of(replaced("cut = true", "cutt = true")),
            "r.toml:10: key 'cutt': unknown; did you mean 'cut'?");
  EXPECT_EQ(error_of(replaced("schema = 1", "schema = 2")),
            "r.toml:1: key 'schema': 2 is not from 1 to 1");
  EXPECT_EQ(error_of(replaced("tokens = 1000", "tokens = 0")).substr(0, 9), "r.toml:2:");
  EXPECT_EQ(error_of(replaced("share = 2", "share = -1")).substr(0, 9), "r.toml:6:");
  EXPECT_EQ(error_of(replaced("share = 2", "share = nan")).substr(0, 9), "r.toml:6:");
  EXPECT_EQ(error_of(replaced("form = \"file\"", "form = \"files\"")).substr(0, 9), "r.toml:9:");
  EXPECT_EQ(error_of(replaced("thinking = false", "cut = true")).substr(0, 10), "r.toml:17:");
  EXPECT_EQ(error_of(replaced("thinking = false", "fields = ['a']")).substr(0, 10), "r.toml:17:");
  EXPECT_EQ(error_of(replaced("cut = true", "thinking = true")).substr(0, 10), "r.toml:10:");
  EXPECT_NE(error_of(replaced("\"chat\"\nshare", "\"code\"\nshare")).find("two are named 'code'"),
            std::string::npos);
  EXPECT_NE(
      error_of(replaced("[[domain.source]]\npath = \"code\"\nform = \"file\"\ncut = true", ""))
          .find("no [[domain.source]]"),
      std::string::npos);
  EXPECT_NE(error_of("schema = 1\ntokens = 1\ncontext = 9\n").find("no [[domain]]"),
            std::string::npos);
  EXPECT_NE(error_of(replaced("schema = 1", "schema = 1\noverlap = 'keep'")).find("r.toml:2"),
            std::string::npos);
}

}  // namespace
}  // namespace karat::calib
