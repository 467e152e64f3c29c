#include "base/error.h"

#include <gtest/gtest.h>

namespace karat::base {
namespace {

TEST(Error, CarriesKindAndMessage) {
  const Error error = fail(ErrorKind::io, "%s: %d bytes short", "a.gguf", 17);
  EXPECT_EQ(error.kind(), ErrorKind::io);
  EXPECT_STREQ(error.what(), "a.gguf: 17 bytes short");
  const Error outer = error.in("shard 2");
  EXPECT_EQ(outer.kind(), ErrorKind::io);
  EXPECT_STREQ(outer.what(), "shard 2: a.gguf: 17 bytes short");
}

TEST(Error, CheckThrowsInternalAndNamesTheExpression) {
  EXPECT_NO_THROW(CHECK(1 + 1 == 2));
  try {
    CHECK(1 + 1 == 3);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::internal);
    const std::string message = error.what();
    EXPECT_NE(message.find("error_test.cc:"), std::string::npos) << message;
    EXPECT_NE(message.find("CHECK(1 + 1 == 3) failed"), std::string::npos) << message;
  }
}

}  // namespace
}  // namespace karat::base
