#include "cli/terminal.h"

#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <string>

#include "base/log.h"
#include "cli/progress_text.h"

namespace karat::cli {

namespace {

struct Screen {
  ProgressText progress{ProgressStyle::none};
  bool color = false;
};
Screen g_screen;

ProgressStyle style_of(const Common& common) {
  if (common.quiet || common.progress == "none") return ProgressStyle::none;
  if (common.progress == "bar") return ProgressStyle::bar;
  if (common.progress == "plain") return ProgressStyle::plain;
  if (common.progress == "json") return ProgressStyle::json;
  return base::stderr_is_terminal() ? ProgressStyle::bar : ProgressStyle::plain;
}

// Bytes of memory that this process holds now: the second number of /proc/self/statm, in pages.
uint64_t resident_bytes() {
  std::ifstream statm("/proc/self/statm");
  uint64_t size = 0, resident = 0;
  statm >> size >> resident;
  return resident * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
}

void on_progress(const base::ProgressEvent& event) {
  const std::string text = g_screen.progress.next(event, resident_bytes(), base::stderr_columns());
  std::fwrite(text.data(), 1, text.size(), stderr);
}

}  // namespace

void clear_progress() {
  if (g_screen.progress.line_open()) std::fprintf(stderr, "\r\x1b[K");
  g_screen.progress.close_line();
}

void install_terminal(const Common& common) {
  const ProgressStyle style = style_of(common);
  g_screen.progress = ProgressText(style);
  g_screen.color =
      common.color == "always" || (common.color == "auto" && base::stderr_wants_color());
  base::set_log_sink([common](base::LogLevel level, const std::string& message) {
    if (level == base::LogLevel::verbose && !common.verbose) return;
    if (level == base::LogLevel::info && common.quiet) return;
    clear_progress();
    const bool warning = level == base::LogLevel::warning, yellow = warning && g_screen.color;
    std::fprintf(stderr, "%s%s%s%s\n", yellow ? "\x1b[33m" : "", warning ? "warning: " : "",
                 yellow ? "\x1b[0m" : "", message.c_str());
  });
  base::set_progress_sink(style == ProgressStyle::none ? base::ProgressSink() : on_progress);
}

}  // namespace karat::cli
