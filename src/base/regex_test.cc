#include "base/regex.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace karat::base {
namespace {

TEST(Regex, SearchesAnywhere) {
  const Regex regex(R"(blk\.(\d|1[0-2])\.ffn_.*_exps)");
  EXPECT_TRUE(regex.found_in("blk.3.ffn_down_exps.weight"));
  EXPECT_TRUE(regex.found_in("blk.12.ffn_up_exps.weight"));
  EXPECT_FALSE(regex.found_in("blk.13.ffn_up_exps.weight"));
}

TEST(Regex, SaysWhereAPatternIsWrong) {
  try {
    Regex regex("blk.(");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::usage);
    EXPECT_NE(std::string(error.what()).find("'blk.('"), std::string::npos) << error.what();
    EXPECT_NE(std::string(error.what()).find("offset 5"), std::string::npos) << error.what();
  }
}

TEST(Regex, CatastrophicPatternEndsInAnError) {
  const Regex regex("^(a+)+$");
  EXPECT_THROW(regex.found_in(std::string(60, 'a') + "b"), Error);
}

}  // namespace
}  // namespace karat::base
