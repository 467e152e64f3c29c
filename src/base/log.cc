#include "base/log.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <chrono>
#include <cstdarg>
#include <cstdlib>
#include <cstring>
#include <mutex>

#include "base/text.h"

namespace karat::base {

namespace {

// Serializes the sinks; recursive, because a sink may itself send a message.
std::recursive_mutex g_mutex;
LogSink g_log;
ProgressSink g_progress;

void send(LogLevel level, const char* format, va_list arguments) {
  const std::string message = vstrf(format, arguments);
  const std::lock_guard lock(g_mutex);
  if (g_log) g_log(level, message);
}

int64_t now_ns() {
  return std::chrono::steady_clock::now().time_since_epoch() / std::chrono::nanoseconds(1);
}

}  // namespace

bool stderr_is_terminal() {
  const char* terminal = std::getenv("TERM");
  return ::isatty(STDERR_FILENO) != 0 && terminal != nullptr && std::strcmp(terminal, "dumb") != 0;
}

bool stderr_wants_color() {
  const auto set = [](const char* name) {
    const char* value = std::getenv(name);
    return value != nullptr && *value != '\0';
  };
  if (set("NO_COLOR")) return false;
  const bool forced = set("CLICOLOR_FORCE") && std::strcmp(std::getenv("CLICOLOR_FORCE"), "0") != 0;
  return forced || stderr_is_terminal();
}

int stderr_columns() {
  winsize size{};
  if (::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 80;
  return size.ws_col;
}

void set_log_sink(LogSink sink) {
  const std::lock_guard lock(g_mutex);
  g_log = std::move(sink);
}

void set_progress_sink(ProgressSink sink) {
  const std::lock_guard lock(g_mutex);
  g_progress = std::move(sink);
}

void warn(const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  send(LogLevel::warning, format, arguments);
  va_end(arguments);
}

void info(const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  send(LogLevel::info, format, arguments);
  va_end(arguments);
}

void verbose(const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  send(LogLevel::verbose, format, arguments);
  va_end(arguments);
}

Progress::Progress(std::string stage, std::string unit, double total) : start_ns_(now_ns()) {
  event_.stage = std::move(stage);
  event_.unit = std::move(unit);
  event_.total = total;
}

Progress::~Progress() {
  const std::lock_guard lock(g_mutex);
  event_.finished = true;
  event_.seconds = static_cast<double>(now_ns() - start_ns_) * 1e-9;
  if (g_progress) g_progress(event_);
}

void Progress::skip(double amount) {
  const std::lock_guard lock(g_mutex);
  event_.done += amount;
  event_.skipped += amount;
}

void Progress::add(double amount, const std::string& current) {
  const std::lock_guard lock(g_mutex);
  event_.done += amount;
  const int64_t now = now_ns();
  if (!g_progress || now - last_report_ns_ < 100'000'000) return;
  last_report_ns_ = now;
  event_.current = current;
  event_.seconds = static_cast<double>(now - start_ns_) * 1e-9;
  g_progress(event_);
}

}  // namespace karat::base
