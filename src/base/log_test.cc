#include "base/log.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace karat::base {
namespace {

class LogTest : public ::testing::Test {
 protected:
  void TearDown() override {
    set_log_sink(nullptr);
    set_progress_sink(nullptr);
  }
};

TEST_F(LogTest, MessagesReachTheSinkWithTheirLevel) {
  std::vector<std::pair<LogLevel, std::string>> seen;
  warn("dropped: there is no sink yet");
  set_log_sink([&](LogLevel level, const std::string& text) { seen.emplace_back(level, text); });
  warn("w %d", 1);
  info("i %s", "x");
  verbose("v");
  const std::vector<std::pair<LogLevel, std::string>> expected = {
      {LogLevel::warning, "w 1"}, {LogLevel::info, "i x"}, {LogLevel::verbose, "v"}};
  EXPECT_EQ(seen, expected);
}

TEST_F(LogTest, SinksAreSerializedAndMaySendMessages) {
  std::vector<std::string> seen;  // unguarded on purpose: the sink is called by one at a time
  set_log_sink([&](LogLevel level, const std::string& text) {
    seen.push_back(text);
    if (level == LogLevel::warning) info("about a warning");
  });
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([] {
      for (int i = 0; i < 100; ++i) warn("x");
    });
  }
  for (std::thread& thread : threads) thread.join();
  ASSERT_EQ(seen.size(), 800u);
  for (size_t i = 0; i < seen.size(); i += 2) {
    EXPECT_EQ(seen[i], "x");
    EXPECT_EQ(seen[i + 1], "about a warning");
  }
}

TEST_F(LogTest, ProgressAddsUpAndIsRare) {
  std::vector<ProgressEvent> events;
  set_progress_sink([&](const ProgressEvent& event) {
    events.push_back(event);
    info("a message from within");
  });
  {
    Progress progress("convert", "bytes", 1000);
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&] {
        for (int i = 0; i < 250; ++i) progress.add(1, "blk.0");
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
  ASSERT_GE(events.size(), 2u);
  EXPECT_EQ(events.front().stage, "convert");
  EXPECT_EQ(events.front().unit, "bytes");
  EXPECT_EQ(events.front().current, "blk.0");
  EXPECT_EQ(events.front().total, 1000);
  EXPECT_FALSE(events.front().finished);
  EXPECT_TRUE(events.back().finished);
  EXPECT_EQ(events.back().done, 1000);
  EXPECT_LT(events.size(), 500u);  // 1,000 calls take far less than the 50 s that would allow
}

TEST_F(LogTest, SkippedWorkIsDoneButCountedApart) {
  std::vector<ProgressEvent> events;
  set_progress_sink([&](const ProgressEvent& event) { events.push_back(event); });
  {
    Progress progress("quantize", "bytes", 10);
    progress.skip(4);
    progress.add(1);
    progress.add(2);
  }
  ASSERT_FALSE(events.empty());
  EXPECT_EQ(events.back().done, 7);
  EXPECT_EQ(events.back().skipped, 4);
  double seconds = 0;
  for (const ProgressEvent& event : events) {
    EXPECT_GE(event.seconds, seconds);
    seconds = event.seconds;
  }
  EXPECT_GT(seconds, 0);
}

}  // namespace
}  // namespace karat::base
