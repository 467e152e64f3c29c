#include "calib/stream_checkpoint.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "base/log.h"
#include "support/files.h"

namespace karat::calib {
namespace {

class Counter : public KeptTap {
 public:
  std::string name() const override { return "counter"; }
  void keep(StatisticsWriter& out) const override {
    out.number(seen);
    out.text(text);
    out.values(std::span(sums));
  }
  void take_up(StatisticsReader& in) override {
    seen = in.number();
    text = in.text();
    sums = in.values<double>();
  }
  int64_t seen = 0;
  std::string text;
  std::vector<double> sums;
};

class StreamCheckpointTest : public testing::Test {
 protected:
  StreamCheckpointTest() {
    base::set_log_sink([this](base::LogLevel, const std::string& text) { said_ += text + "\n"; });
  }
  ~StreamCheckpointTest() override { base::set_log_sink({}); }

  void save(int64_t stage) {
    Counter first, second;
    first.seen = 7, first.text = "blk.0", first.sums = {1.5, -2};
    second.seen = stage;
    const KeptTap* const taps[] = {&first, &second};
    const std::vector<float> rows = {1, 2, static_cast<float>(stage)};
    StreamCheckpoint(dir_.path("out"), kOurs).save(stage, taps, rows);
  }
  std::optional<int64_t> take_up(const base::Fingerprint& fingerprint, bool force = false) {
    KeptTap* const taps[] = {&first_, &second_};
    return StreamCheckpoint(dir_.path("out"), fingerprint).take_up(taps, rows_, force);
  }

  const base::Fingerprint kOurs = {{"tokens", "abc"}, {"mtp", "yes"}};
  test::TempDir dir_;
  Counter first_, second_;
  std::vector<float> rows_ = std::vector<float>(3);
  std::string said_;
};

TEST_F(StreamCheckpointTest, BringsBackStatisticsAndRows) {
  EXPECT_EQ(take_up(kOurs), std::nullopt);
  save(2);
  save(3);
  EXPECT_EQ(take_up(kOurs), 3);
  EXPECT_EQ(first_.seen, 7);
  EXPECT_EQ(first_.text, "blk.0");
  EXPECT_EQ(first_.sums, (std::vector<double>{1.5, -2}));
  EXPECT_EQ(second_.seen, 3);
  EXPECT_EQ(rows_, (std::vector<float>{1, 2, 3}));
  EXPECT_EQ(said_, "");
}

TEST_F(StreamCheckpointTest, RemovesOnlyWhatThisRunTookUpOrWrote) {
  save(2);
  StreamCheckpoint(dir_.path("out"), kOurs).remove();  // not looked at yet
  EXPECT_EQ(take_up(kOurs), 2);
  KeptTap* const taps[] = {&first_, &second_};
  StreamCheckpoint other(dir_.path("out"), {{"tokens", "abd"}});
  EXPECT_THROW(other.take_up(taps, rows_, false), base::Error);
  other.remove();
  EXPECT_EQ(take_up(kOurs), 2);
  EXPECT_EQ(other.take_up(taps, rows_, true), std::nullopt);
  other.remove();  // begun anew, but nothing written yet
  EXPECT_EQ(take_up(kOurs), 2);
  StreamCheckpoint ours(dir_.path("out"), kOurs);
  EXPECT_EQ(ours.take_up(taps, rows_, false), 2);
  ours.remove();
  EXPECT_EQ(take_up(kOurs), std::nullopt);
  const KeptTap* const kept[] = {&first_, &second_};
  other.save(1, kept, rows_);
  other.remove();
  EXPECT_EQ(other.take_up(taps, rows_, false), std::nullopt);
}

TEST_F(StreamCheckpointTest, AnotherFingerprintIsRefusedUnlessForced) {
  save(2);
  try {
    take_up({{"tokens", "abd"}, {"mtp", "yes"}});
    FAIL();
  } catch (const base::Error& error) {
    EXPECT_EQ(error.kind(), base::ErrorKind::exists);
    EXPECT_NE(std::string(error.what()).find("other values of: tokens;"), std::string::npos);
  }
  EXPECT_EQ(take_up({{"tokens", "abd"}}, true), std::nullopt);
  EXPECT_NE(said_.find("begun anew"), std::string::npos);
}

TEST_F(StreamCheckpointTest, EveryFlippedByteAndEveryPrefixIsNoticed) {
  save(2);
  const std::string sound = test::read_bytes(dir_.path("out.checkpoint"));
  for (size_t i = 0; i < sound.size(); ++i) {
    std::string bytes = sound;
    bytes[i] = static_cast<char>(bytes[i] ^ 1);
    dir_.write("out.checkpoint", bytes);
    EXPECT_EQ(take_up(kOurs), std::nullopt) << i;
    dir_.write("out.checkpoint", sound.substr(0, i));
    EXPECT_EQ(take_up(kOurs), std::nullopt) << i;
  }
  EXPECT_NE(said_.find("damaged"), std::string::npos);
}

// Fewer rows than the run has: a sound file of something else.
TEST_F(StreamCheckpointTest, WhatDoesNotFitIsAnError) {
  save(2);
  rows_.resize(4);
  EXPECT_THROW(take_up(kOurs), base::Error);
}

}  // namespace
}  // namespace karat::calib
