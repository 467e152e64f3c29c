#include "cli/foreign.h"

#include <gtest/gtest.h>

#include <set>

#include "base/text.h"
#include "cli/verb_table.h"

namespace karat::cli {
namespace {

TEST(Foreign, TranslatesOptionsOfLlamaCpp) {
  for (const char* name : {"-ngl", "--n-gpu-layers", "-fa", "-b", "-ub", "-hf", "--no-mmap"}) {
    EXPECT_TRUE(foreign_option(name)) << name;
  }
  EXPECT_FALSE(foreign_option("--model"));
  EXPECT_FALSE(foreign_option(""));
  EXPECT_TRUE(foreign_verb("download"));
  EXPECT_FALSE(foreign_verb("inspect"));
}

// What a verb understands must not be called foreign, and advice names only what exists.
TEST(Foreign, FitsTheTableOfOptions) {
  std::set<std::string> options, verbs;
  for (const VerbTable& verb : verb_tables()) {
    verbs.insert(verb.verb);
    EXPECT_FALSE(foreign_verb(verb.verb)) << verb.verb;
    for (const Option& option : verb.options) {
      for (const std::string& name : option.name_list()) options.insert(name);
    }
  }
  for (const char* name : {"--reasoning", "--presence-penalty", "--no-mtp", "--color", "-q", "-v",
                           "--progress", "--mem-limit", "--split-max-size", "-o", "-p", "-t"}) {
    EXPECT_TRUE(options.contains(name)) << name << " is advised, but is no option";
  }
  for (const char* verb : {"eval", "chat", "convert", "inspect", "calibrate"}) {
    EXPECT_TRUE(verbs.contains(verb)) << verb;
  }
}

}  // namespace
}  // namespace karat::cli
