#include "cli/manual.h"

#include <gtest/gtest.h>

namespace karat::cli {
namespace {

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST(Manual, PageOfAVerb) {
  Option in, model, force;
  in.names = "IN";
  in.help = ".gguf\\x";
  model.names = "-m,--model";
  model.value = "MODEL";
  model.help = "it's \"it\"";
  model.choices = {"a", "b-c"};
  force.names = "--force";
  force.help = "replace";
  force.common = true;
  const std::string page = manual_page({"eval", "measures", "IN [-m MODEL]", {in, model, force}});
  EXPECT_TRUE(has(page, ".TH KARAT\\-EVAL 1 \"\" \"karat 0."));
  EXPECT_TRUE(has(page, ".SH ARGUMENTS\n.TP\n\\fIIN\\fR\n\\&.gguf\\ex\n"));
  EXPECT_TRUE(has(page,
                  ".SH OPTIONS\n.TP\n\\fB\\-m\\fR, \\fB\\-\\-model\\fR \\fIMODEL\\fR\n"
                  "it\\(aqs \\(dqit\\(dq. One of a b\\-c\n"));
  EXPECT_TRUE(has(page, ".SH OPTIONS OF EVERY VERB\n.TP\n\\fB\\-\\-force\\fR\nreplace\n"));
}

TEST(Manual, OverviewNamesEveryVerb) {
  const std::vector<VerbTable> verbs = verb_tables();
  const std::string page = manual_overview(verbs);
  for (const VerbTable& verb : verbs) {
    EXPECT_TRUE(has(page, "\n.TP\n\\fB" + verb.verb + "\\fR\n")) << verb.verb;
    EXPECT_TRUE(has(page, ".BR karat\\-" + verb.verb + " (1)")) << verb.verb;
  }
  EXPECT_TRUE(has(page, ".SH EXIT STATUS"));
}

}  // namespace
}  // namespace karat::cli
