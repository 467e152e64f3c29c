#include "base/log.h"

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
  const char* no_color = std::getenv("NO_COLOR");
  return stderr_is_terminal() && (no_color == nullptr || *no_color == '\0');
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

Progress::Progress(std::string stage, std::string unit, double total) {
  event_.stage = std::move(stage);
  event_.unit = std::move(unit);
  event_.total = total;
}

Progress::~Progress() {
  const std::lock_guard lock(g_mutex);
  event_.finished = true;
  if (g_progress) g_progress(event_);
}

void Progress::add(double amount, const std::string& current) {
  const std::lock_guard lock(g_mutex);
  event_.done += amount;
  const int64_t now = now_ns();
  if (!g_progress || now - last_report_ns_ < 100'000'000) return;
  last_report_ns_ = now;
  event_.current = current;
  g_progress(event_);
}

}  // namespace karat::base
