#include "export/reshard.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "support/files.h"

namespace karat::exporting {
namespace {

const std::string kModel = std::string(KARAT_ROOT) + "/tests/fixtures/goldens/gguf/tiny-bf16.gguf";

// Every way to split gives the first bytes when merged again.
TEST(Reshard, SplitAndMergedIsTheSameFile) {
  const std::string original = test::read_bytes(kModel);
  for (const auto& [options, count] :
       {std::pair{format::GgufWriteOptions{.shard_bytes_max = 300'000}, size_t{4}},
        {format::GgufWriteOptions{.shard_tensors_max = 40}, size_t{3}},
        {format::GgufWriteOptions{.shard_tensors_max = 48, .no_tensor_first_shard = true},
         size_t{3}},
        {format::GgufWriteOptions{.no_tensor_first_shard = true}, size_t{2}}}) {
    const test::TempDir dir;
    base::ThreadPool pool(2);
    const auto shards =
        reshard(format::GgufSource(kModel), dir.path("s.gguf"), {.shards = options}, pool);
    EXPECT_EQ(shards.size(), count);
    EXPECT_EQ(dir.file_count(), count);
    const format::GgufSource first(shards[0]);
    EXPECT_EQ(first.files(), shards);
    EXPECT_EQ(first.metadata().get_int(format::kSplitTensorsCount),
              static_cast<int64_t>(first.tensors().size()));
    if (options.no_tensor_first_shard) {
      EXPECT_EQ(first.place(first.tensors()[0]).file, 1u);
    }
    const auto merged = reshard(first, dir.path("m.gguf"), {}, pool);
    ASSERT_EQ(merged, std::vector<std::string>{dir.path("m.gguf")});
    EXPECT_TRUE(test::read_bytes(merged[0]) == original);
  }
}

TEST(Reshard, OutputsAreCheckedBeforeTheWork) {
  const test::TempDir dir;
  base::ThreadPool pool(1);
  const format::GgufSource source(kModel);
  const ReshardOptions options{.shards = {.shard_tensors_max = 60}};
  dir.write("s-00002-of-00002.gguf", "mine");
  EXPECT_THROW(reshard(source, dir.path("s.gguf"), options, pool), base::Error);
  EXPECT_EQ(dir.file_count(), 1u);
  EXPECT_EQ(reshard(source, dir.path("s.gguf"), {options.shards, true}, pool).size(), 2u);
  // Not over its own input, forced or not.
  const format::GgufSource shards(dir.path("s-00001-of-00002.gguf"));
  EXPECT_THROW(reshard(shards, dir.path("s.gguf"), {options.shards, true}, pool), base::Error);
  EXPECT_GT(reshard_memory(source), 0u);
}

}  // namespace
}  // namespace karat::exporting
