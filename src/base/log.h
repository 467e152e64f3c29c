// Where everyone below cli/ sends what a person should see. cli/ installs the sink; without one,
// messages are dropped. Nothing here writes to stdout.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

namespace karat::base {

enum class LogLevel { warning, info, verbose };

// Sinks are called by one thread at a time and must not throw.
using LogSink = std::function<void(LogLevel, const std::string&)>;
void set_log_sink(LogSink sink);
[[gnu::format(printf, 1, 2)]] void warn(const char* format, ...);
[[gnu::format(printf, 1, 2)]] void info(const char* format, ...);
[[gnu::format(printf, 1, 2)]] void verbose(const char* format, ...);

// True if stderr is a terminal that understands control sequences (TERM is not "dumb").
bool stderr_is_terminal();
// The same, or CLICOLOR_FORCE is set (other than "0") where it is none; never with NO_COLOR.
bool stderr_wants_color();
// Columns of the terminal on stderr; 80 if it does not say.
int stderr_columns();

// How far a long stage is. `done` and `total` are in bytes or FLOPs, never in tensors.
struct ProgressEvent {
  std::string stage;    // "convert", "quantize", "calibrate", ...
  std::string current;  // what is being worked on, e.g. a tensor name
  std::string unit;     // "bytes", "tokens", "flops"
  double done = 0, total = 0;
  double skipped = 0;  // of `done`: what was there already, and says nothing about the rate
  double seconds = 0;  // since the stage began
  bool finished = false;
};
using ProgressSink = std::function<void(const ProgressEvent&)>;
void set_progress_sink(ProgressSink sink);

// One stage; thread-safe. Reports at most ten times a second, and once when destroyed.
class Progress {
 public:
  Progress(std::string stage, std::string unit, double total);
  ~Progress();
  void add(double amount, const std::string& current = {});
  // Counts work that an earlier run has done.
  void skip(double amount);

 private:
  ProgressEvent event_;
  int64_t start_ns_, last_report_ns_ = 0;
};

}  // namespace karat::base
