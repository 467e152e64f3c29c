#include "cli/terminal.h"

#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <string>

#include "base/log.h"
#include "base/text.h"

namespace karat::cli {

namespace {

using Clock = std::chrono::steady_clock;

enum class Style { bar, plain, json, none };

struct Screen {
  Style style = Style::none;
  bool color = false;
  bool bar_shown = false;
  std::string stage;
  Clock::time_point started, last_line;
};
Screen g_screen;

Style style_of(const Common& common) {
  if (common.quiet || common.progress == "none") return Style::none;
  if (common.progress == "bar") return Style::bar;
  if (common.progress == "plain") return Style::plain;
  if (common.progress == "json") return Style::json;
  return base::stderr_is_terminal() ? Style::bar : Style::plain;
}

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

std::string rate_text(const base::ProgressEvent& event, double seconds) {
  const double rate = seconds > 0 ? event.done / seconds : 0;
  if (event.unit == "bytes") return base::strf("%.0f MB/s", rate / 1e6);
  if (event.unit == "flops") return base::strf("%.1f GFLOP/s", rate / 1e9);
  return base::strf("%.0f %s/s", rate, event.unit.c_str());
}

std::string duration(double seconds) {
  const auto whole = static_cast<int64_t>(seconds + 0.5);
  if (whole < 100) return base::strf("%lld s", static_cast<long long>(whole));
  return base::strf("%lld min %02lld s", static_cast<long long>(whole / 60),
                    static_cast<long long>(whole % 60));
}

std::string line_of(const base::ProgressEvent& event, double seconds) {
  const double share = event.total > 0 ? event.done / event.total : 1;
  std::string line = base::strf("%s %3.0f %%  %s", event.stage.c_str(), 100 * share,
                                rate_text(event, seconds).c_str());
  if (event.finished) return line + "  " + duration(seconds);
  if (share > 0) line += "  ETA " + duration(seconds * (1 - share) / share);
  if (!event.current.empty()) line += "  " + base::printable(event.current, 40);
  return line;
}

std::string json_of(const base::ProgressEvent& event, double seconds) {
  base::Json line = base::Json::object();
  line.set("event", "progress");
  line.set("stage", event.stage);
  line.set("unit", event.unit);
  line.set("done", event.done);
  line.set("total", event.total);
  line.set("elapsed_s", seconds);
  return line.dump();
}

void on_progress(const base::ProgressEvent& event) {
  Screen& s = g_screen;
  if (s.stage != event.stage) {
    s.stage = event.stage;
    s.started = s.last_line = Clock::now();
  }
  const double seconds = seconds_since(s.started);
  if (event.finished) s.stage.clear();
  if (s.style == Style::bar) {
    std::fprintf(stderr, "\r\x1b[K%s%s", line_of(event, seconds).c_str(),
                 event.finished ? "\n" : "");
    s.bar_shown = !event.finished;
    return;
  }
  if (!event.finished && seconds_since(s.last_line) < 10) return;
  s.last_line = Clock::now();
  if (s.style == Style::json) {
    std::fprintf(stderr, "%s\n", json_of(event, seconds).c_str());
  } else if (!event.finished || seconds >= 10) {
    std::fprintf(stderr, "%s\n", line_of(event, seconds).c_str());
  }
}

}  // namespace

void clear_progress() {
  if (g_screen.bar_shown) std::fprintf(stderr, "\r\x1b[K");
  g_screen.bar_shown = false;
}

void install_terminal(const Common& common) {
  g_screen = Screen{};
  g_screen.style = style_of(common);
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
  base::set_progress_sink(g_screen.style == Style::none ? base::ProgressSink() : on_progress);
}

}  // namespace karat::cli
