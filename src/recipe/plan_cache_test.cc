#include "recipe/plan_cache.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "base/file.h"
#include "support/files.h"

namespace karat::recipe {
namespace {

TEST(PlanCache, FindsWhatWasKeptUnderTheSameKeyOnly) {
  const test::TempDir folder;
  const PlanCache cache(folder.path("cache"));
  const base::Fingerprint key = {{"tensor", "a"}, {"types", "q4_K"}}, other = {{"tensor", "b"}};
  EXPECT_FALSE(cache.find(key));
  cache.keep(key, base::Json(0.1));
  ASSERT_TRUE(cache.find(key));
  EXPECT_EQ(cache.find(key)->as_double(), 0.1);
  EXPECT_FALSE(cache.find(other));
  EXPECT_TRUE(PlanCache(folder.path("cache")).find(key));
}

TEST(PlanCache, DamagedFilesAreNone) {
  const test::TempDir folder;
  const PlanCache cache(folder.path("cache"));
  const base::Fingerprint key = {{"tensor", "a"}};
  cache.keep(key, base::Json(1));
  for (const auto& file : std::filesystem::directory_iterator(folder.path("cache"))) {
    base::write_file(file.path().string(), "{\"key\": 1");
  }
  EXPECT_FALSE(cache.find(key));
}

TEST(PlanCache, WithoutAFolderNothingIsKept) {
  const PlanCache cache("");
  cache.keep({{"a", "b"}}, base::Json(1));
  EXPECT_FALSE(cache.find({{"a", "b"}}));
}

}  // namespace
}  // namespace karat::recipe
