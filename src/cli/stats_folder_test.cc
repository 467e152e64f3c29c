#include "cli/stats_folder.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "base/file.h"
#include "support/files.h"

namespace karat::cli {
namespace {

base::ErrorKind kind_of(const std::string& path, bool force,
                        const std::vector<std::string>& inputs = {}) {
  try {
    const StatsFolder folder(path, force, inputs);
  } catch (const base::Error& error) {
    return error.kind();
  }
  return base::ErrorKind::internal;  // nothing wrong
}

TEST(StatsFolder, IsMadeAndGoesIfNothingIsInIt) {
  const test::TempDir dir;
  {
    const StatsFolder folder(dir.path("stats/"), false, {});
    EXPECT_TRUE(base::is_directory(dir.path("stats")));
    EXPECT_EQ(folder.imatrix_path(), dir.path("stats") + "/imatrix.gguf");
  }
  EXPECT_FALSE(base::is_directory(dir.path("stats")));
  {
    const StatsFolder folder(dir.path("stats"), false, {});
    base::write_file(dir.path("stats/routing.safetensors"), "of a run that was stopped");
  }
  {
    const StatsFolder folder(dir.path("stats"), false, {});
    base::write_file(folder.imatrix_path(), "x");
  }
  EXPECT_TRUE(base::is_directory(dir.path("stats")));
  EXPECT_EQ(kind_of(dir.path("stats"), false), base::ErrorKind::exists);
  EXPECT_EQ(kind_of(dir.path("stats"), true), base::ErrorKind::internal);
}

TEST(StatsFolder, BadPlacesAreRefused) {
  const test::TempDir dir;
  EXPECT_EQ(kind_of(dir.path("none/stats"), false), base::ErrorKind::io);
  const std::string file = dir.write("file", "x");
  EXPECT_EQ(kind_of(file, true), base::ErrorKind::exists);
  EXPECT_EQ(test::read_bytes(file), "x");
}

}  // namespace
}  // namespace karat::cli
