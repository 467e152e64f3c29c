#include "cli/terminal.h"

#include <gtest/gtest.h>

#include "base/log.h"

namespace karat::cli {
namespace {

std::string stderr_of(const Common& common, const std::function<void()>& body) {
  install_terminal(common);
  ::testing::internal::CaptureStderr();
  body();
  const std::string text = ::testing::internal::GetCapturedStderr();
  base::set_log_sink(nullptr);
  base::set_progress_sink(nullptr);
  return text;
}

void say_everything() {
  base::warn("careful %d", 1);
  base::info("note");
  base::verbose("detail");
}

TEST(Terminal, LevelsFollowQuietAndVerbose) {
  EXPECT_EQ(stderr_of({}, say_everything), "warning: careful 1\nnote\n");
  EXPECT_EQ(stderr_of({.quiet = true}, say_everything), "warning: careful 1\n");
  EXPECT_EQ(stderr_of({.verbose = true}, say_everything), "warning: careful 1\nnote\ndetail\n");
}

TEST(Terminal, ColorsOnlyWhenAskedFor) {
  EXPECT_NE(stderr_of({.color = "always"}, say_everything).find("\x1b[33m"), std::string::npos);
  EXPECT_EQ(stderr_of({.color = "never"}, say_everything).find('\x1b'), std::string::npos);
}

void work() {
  base::Progress progress("quantize", "bytes", 1e9);
  progress.add(5e8, "blk.0.attn_q.weight");
}

TEST(Terminal, BarShowsShareRateAndWhatIsWorkedOn) {
  const std::string text = stderr_of({.progress = "bar"}, work);
  EXPECT_NE(text.find("quantize  50 %"), std::string::npos) << text;
  EXPECT_NE(text.find("blk.0.attn_q.weight"), std::string::npos) << text;
  EXPECT_NE(text.find("ETA"), std::string::npos) << text;
  EXPECT_EQ(text.back(), '\n');
}

TEST(Terminal, QuietAndNoneShowNoProgress) {
  EXPECT_EQ(stderr_of({.progress = "none"}, work), "");
  EXPECT_EQ(stderr_of({.quiet = true, .progress = "bar"}, work), "");
}

TEST(Terminal, JsonEventsAreObjectsPerLine) {
  const std::string text = stderr_of({.progress = "json"}, work);
  const base::Json event = base::parse_json(text.substr(0, text.find('\n')));
  EXPECT_EQ(event.at("event").as_string(), "progress");
  EXPECT_EQ(event.at("stage").as_string(), "quantize");
  EXPECT_EQ(event.at("total").as_double(), 1e9);
}

TEST(Terminal, WarningsDoNotMixWithTheBar) {
  const std::string text = stderr_of({.progress = "bar"}, [] {
    base::Progress progress("eval", "tokens", 10);
    progress.add(5);
    base::warn("careful");
  });
  EXPECT_NE(text.find("\r\x1b[Kwarning: careful\n"), std::string::npos) << text;
}

}  // namespace
}  // namespace karat::cli
