#include "base/memory.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "support/files.h"

namespace karat::base {
namespace {

const std::string kMeminfo = "MemTotal:       24000 kB\nMemAvailable:   1000 kB\nCached: 3 kB\n";

TEST(Memory, IsWhatTheMachineSaysIsAvailable) {
  EXPECT_EQ(available_memory(kMeminfo, "", "/nowhere"), 1024000u);
  EXPECT_EQ(available_memory(kMeminfo, "0::/\n", "/nowhere"), 1024000u);
  EXPECT_EQ(available_memory("", "", "/nowhere"), UINT64_MAX);
  const uint64_t here = available_memory();
  EXPECT_GT(here, uint64_t{1} << 20);
  EXPECT_LT(here, uint64_t{1} << 50);
}

TEST(Memory, IsAtMostWhatEveryControlGroupLeaves) {
  const test::TempDir dir;
  std::filesystem::create_directories(dir.path("a/b"));
  const auto left = [&] { return available_memory(kMeminfo, "1:x:/y\n0::/a/b\n", dir.path()); };
  dir.write("a/b/memory.max", "max\n");
  dir.write("a/b/memory.current", "5000\n");
  EXPECT_EQ(left(), 1024000u);
  dir.write("a/memory.max", "9000\n");
  dir.write("a/memory.current", "6000\n");
  EXPECT_EQ(left(), 3000u);
  dir.write("a/memory.stat", "anon 1\ninactive_file 300\nslab 2\nactive_file 40\n");
  EXPECT_EQ(left(), 3340u);
  dir.write("a/b/memory.max", "5100\n");
  EXPECT_EQ(left(), 100u);
  dir.write("a/b/memory.max", "4000\n");
  EXPECT_EQ(left(), 0u);
}

}  // namespace
}  // namespace karat::base
