#include "export/checkpoint.h"

#include <gtest/gtest.h>

#include <optional>

#include "base/error.h"
#include "base/log.h"
#include "support/files.h"

namespace karat::exporting {
namespace {

using Leftover = base::OutputFile::Leftover;

const Fingerprint kOurs = {{"type", "Q4_K_M"}, {"model.gguf", "12 bytes"}};
constexpr uint64_t kDataBytes = 5000;  // the journal begins at 8192

class CheckpointTest : public testing::Test {
 protected:
  CheckpointTest() {
    base::set_log_sink([this](base::LogLevel, const std::string& text) { said_ += text + "\n"; });
  }
  ~CheckpointTest() override { base::set_log_sink({}); }

  // What a run finds, saving `then` units if there are any.
  uint64_t run(const Fingerprint& fingerprint, std::optional<uint64_t> then = {},
               bool force = false) {
    base::OutputFile file(path_, Leftover::kept);
    Checkpoint checkpoint(file, kDataBytes, fingerprint, force);
    const uint64_t found = checkpoint.done();
    if (then) checkpoint.save(*then);
    file.keep_partial();
    return found;
  }
  void change(uint64_t offset, char byte) {
    std::string bytes = test::read_bytes(path_ + ".partial");
    bytes[offset] = byte;
    dir_.write("out.partial", bytes);
  }

  test::TempDir dir_;
  std::string path_ = dir_.path("out"), said_;
};

TEST_F(CheckpointTest, TheNextRunFindsWhatWasSaved) {
  EXPECT_EQ(run(kOurs, 3), 0u);
  EXPECT_EQ(run(kOurs), 3u);
  EXPECT_EQ(run(kOurs, 7), 3u);
  EXPECT_EQ(run(kOurs, 9), 7u);
  EXPECT_EQ(run(kOurs), 9u);
  EXPECT_EQ(said_, "");
}

TEST_F(CheckpointTest, NothingSavedIsNothingDone) {
  EXPECT_EQ(run(kOurs), 0u);
  EXPECT_EQ(run(kOurs), 0u);
  EXPECT_EQ(said_, "");
}

TEST_F(CheckpointTest, AnotherCommandsIsRefusedWithWhatDiffers) {
  run(kOurs, 3);
  try {
    run({{"type", "Q8_0"}, {"model.gguf", "12 bytes"}, {"pure", "true"}});
    FAIL() << "no error";
  } catch (const base::Error& error) {
    EXPECT_EQ(error.kind(), base::ErrorKind::exists);
    EXPECT_NE(std::string(error.what()).find("other values of: type, pure;"), std::string::npos)
        << error.what();
  }
  EXPECT_EQ(run(kOurs), 3u);  // it is still there
  EXPECT_EQ(run({{"type", "Q8_0"}}, 5, true), 0u);
  EXPECT_NE(said_.find("begun anew"), std::string::npos);
  EXPECT_EQ(run({{"type", "Q8_0"}}), 5u);
}

// The two places are at 8192 and 12288, written in turn from the second on.
TEST_F(CheckpointTest, ADamagedPlaceCostsOneStep) {
  run(kOurs, 3);
  run(kOurs, 7);
  change(8192 + 30, 'x');
  EXPECT_EQ(run(kOurs), 3u);
  EXPECT_EQ(said_, "");
  change(12288 + 30, 'x');
  EXPECT_EQ(run(kOurs), 0u);
  EXPECT_NE(said_.find("damaged"), std::string::npos);
}

TEST_F(CheckpointTest, EveryPrefixIsBegunAnewOrNoCheckpoint) {
  run(kOurs, 3);
  const std::string whole = test::read_bytes(path_ + ".partial");
  for (size_t n = 0; n < whole.size(); n += n + 64 < whole.size() ? 61 : 1) {
    dir_.write("out.partial", whole.substr(0, n));
    EXPECT_EQ(run(kOurs), 0u) << n;
  }
  dir_.write("out.partial", std::string(100000, 'x'));
  said_.clear();
  EXPECT_EQ(run(kOurs), 0u);
  EXPECT_NE(said_.find("holds no checkpoint"), std::string::npos) << said_;
}

TEST_F(CheckpointTest, FlippedBytesOfTheJournalNeverCountAsMore) {
  run(kOurs, 3);
  const std::string whole = test::read_bytes(path_ + ".partial");
  for (size_t at = 12288; at < whole.size(); at += at < 12288 + 128 || at >= 16384 ? 1 : 512) {
    dir_.write("out.partial", whole);
    change(at, static_cast<char>(whole[at] ^ 1));
    uint64_t found = 0;
    EXPECT_NO_THROW({
      try {
        found = run(kOurs);
      } catch (const base::Error& error) {
        if (error.kind() != base::ErrorKind::exists) throw;
      }
    }) << at;
    EXPECT_TRUE(found == 0 || found == 3) << at;
  }
}

}  // namespace
}  // namespace karat::exporting
