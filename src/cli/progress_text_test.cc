#include "cli/progress_text.h"

#include <gtest/gtest.h>

#include "base/json.h"

namespace karat::cli {
namespace {

using base::ProgressEvent;

ProgressEvent event(double seconds, double done, bool finished = false) {
  ProgressEvent e;
  e.stage = "quantize";
  e.unit = "bytes";
  e.current = "blk.0.attn_q.weight";
  e.total = 1e9;
  e.done = done;
  e.seconds = seconds;
  e.finished = finished;
  return e;
}

std::string once(ProgressStyle style, const ProgressEvent& e, int columns = 200) {
  return ProgressText(style).next(e, uint64_t{3} << 29, columns);
}

TEST(ProgressText, LinesSayShareRateElapsedRestMemoryAndTensor) {
  EXPECT_EQ(once(ProgressStyle::plain, event(20, 4e8)),
            "quantize  40 %  20.0 MB/s  20 s  ETA 30 s  blk.0.attn_q.weight  "
            "RSS 1.50 GiB (1.61 GB)\n");
  EXPECT_EQ(once(ProgressStyle::bar, event(20, 4e8)),
            "\r\x1b[Kquantize  40 % [########............]  20.0 MB/s  20 s  ETA 30 s  "
            "blk.0.attn_q.weight  RSS 1.50 GiB");
  EXPECT_EQ(once(ProgressStyle::bar, event(200, 1e9, true)),
            "\r\x1b[Kquantize 100 %  5.0 MB/s  3 min 20 s  RSS 1.50 GiB\n");
}

TEST(ProgressText, TheBarStaysOnOneLine) {
  for (int columns = 21; columns < 120; ++columns) {
    const std::string text = once(ProgressStyle::bar, event(20, 4e8), columns);
    EXPECT_LT(text.size() - std::string("\r\x1b[K").size(), static_cast<size_t>(columns));
  }
  // A narrow one has no bar, but tensor and memory.
  const std::string narrow = once(ProgressStyle::bar, event(20, 4e8), 80);
  EXPECT_EQ(narrow,
            "\r\x1b[Kquantize  40 %  20.0 MB/s  20 s  ETA 30 s  blk.0.attn_q.weight  "
            "RSS 1.50 GiB");
}

TEST(ProgressText, PlainLinesAreRare) {
  ProgressText text(ProgressStyle::plain);
  const auto printed = [&](double seconds, double done) {
    return !text.next(event(seconds, done), 0, 80).empty();
  };
  EXPECT_FALSE(printed(9, 9e8));    // not within 10 s
  EXPECT_TRUE(printed(11, 9.1e8));  // 10 s and 5 %
  EXPECT_FALSE(printed(20, 9.9e8));
  EXPECT_FALSE(printed(22, 9.2e8));  // 10 s, but not 5 %
  EXPECT_TRUE(printed(72, 9.2e8));   // a minute
  // A day of small steps: once a minute.
  int lines = 0;
  for (int second = 72; second < 72 + 3600; ++second) lines += printed(second, 9.2e8);
  EXPECT_EQ(lines, 59);
}

TEST(ProgressText, ShortStagesShowNothing) {
  ProgressText text(ProgressStyle::plain);
  EXPECT_EQ(text.next(event(1, 5e8), 0, 80), "");
  EXPECT_EQ(text.next(event(2, 1e9, true), 0, 80), "");
  EXPECT_NE(text.next(event(12, 1e9, true), 0, 80), "");
  EXPECT_EQ(once(ProgressStyle::none, event(100, 5e8)), "");
}

TEST(ProgressText, WhatAnEarlierRunDidIsNoRate) {
  ProgressEvent e = event(10, 6e8);
  e.skipped = 5e8;
  const std::string text = once(ProgressStyle::plain, e);
  EXPECT_NE(text.find("10.0 MB/s  10 s  ETA 40 s"), std::string::npos) << text;
}

TEST(ProgressText, NothingIsEverNegativeOrDividedByZero) {
  EXPECT_NE(once(ProgressStyle::bar, event(0, 0)).find("ETA ?"), std::string::npos);
  ProgressEvent beyond = event(10, 2e9);  // more than announced
  const std::string text = once(ProgressStyle::bar, beyond);
  EXPECT_NE(text.find("100 %"), std::string::npos) << text;
  EXPECT_NE(text.find("ETA 0 s"), std::string::npos) << text;
  beyond.total = 0;
  EXPECT_EQ(once(ProgressStyle::bar, beyond).find('-'), std::string::npos);
}

TEST(ProgressText, JsonLinesAreObjects) {
  ProgressText text(ProgressStyle::json);
  EXPECT_EQ(text.next(event(0.5, 1e8), 0, 80), "");
  const base::Json line = base::parse_json(text.next(event(2, 4e8), 77, 80));
  EXPECT_EQ(line.at("event").as_string(), "progress");
  EXPECT_EQ(line.at("stage").as_string(), "quantize");
  EXPECT_EQ(line.at("done").as_double(), 4e8);
  EXPECT_EQ(line.at("total").as_double(), 1e9);
  EXPECT_EQ(line.at("eta_s").as_double(), 3);
  EXPECT_EQ(line.at("rss_bytes").as_int(), 77);
  EXPECT_EQ(line.at("current").as_string(), "blk.0.attn_q.weight");
  EXPECT_EQ(text.next(event(2.5, 5e8), 0, 80), "");
  EXPECT_TRUE(base::parse_json(text.next(event(2.6, 1e9, true), 0, 80)).at("finished").as_bool());
}

TEST(ProgressText, ControlCharactersOfNamesAreEscaped) {
  ProgressEvent e = event(20, 4e8);
  e.current = "a\x1b[31m\nb";
  const std::string text = once(ProgressStyle::plain, e);
  EXPECT_EQ(text.find('\x1b'), std::string::npos);
  EXPECT_EQ(text.find('\n'), text.size() - 1);
}

}  // namespace
}  // namespace karat::cli
