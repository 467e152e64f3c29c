#include "cli/verb_table.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

namespace karat::cli {
namespace {

TEST(VerbTable, EveryVerbHasTheCommonOptionsOnce) {
  for (const VerbTable& verb : verb_tables()) {
    std::set<std::string> names;
    std::set<std::string> common;
    for (const Option& option : verb.options) {
      EXPECT_FALSE(option.help.empty()) << verb.verb << " " << option.names;
      for (const std::string& name : option.name_list()) {
        EXPECT_TRUE(names.insert(name).second) << verb.verb << " has two " << name;
        if (option.common) common.insert(name);
      }
    }
    EXPECT_EQ(common, (std::set<std::string>{"--json", "-q", "--quiet", "-v", "--verbose",
                                             "--force", "-t", "--threads", "--mem-limit", "-s",
                                             "--seed", "--progress", "--color"}))
        << verb.verb;
  }
}

}  // namespace
}  // namespace karat::cli
