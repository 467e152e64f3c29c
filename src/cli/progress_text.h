// How progress reads on stderr.
#pragma once

#include <cstdint>
#include <string>

#include "base/log.h"

namespace karat::cli {

enum class ProgressStyle { bar, plain, json, none };

// Turns the events of one stage after another into text, and decides which of them are worth a
// line:
//   bar    every event, on one line of at most `columns` characters that replaces itself;
//   plain  at most one line in 10 s, and of those only where 5 % more is done or a minute has
//          passed; a stage shorter than 10 s shows nothing;
//   json   an object per line, at most one a second, and one at the end of a stage.
class ProgressText {
 public:
  explicit ProgressText(ProgressStyle style) : style_(style) {}

  // What to print for the event, line break included where one is due; empty if nothing.
  // `memory` is the resident memory in bytes.
  std::string next(const base::ProgressEvent& event, uint64_t memory, int columns);
  // True if the last text was a bar that waits for its successor.
  bool line_open() const { return line_open_; }
  void close_line() { line_open_ = false; }

 private:
  bool due(const base::ProgressEvent& event);

  ProgressStyle style_;
  bool line_open_ = false;
  std::string stage_;
  double last_seconds_ = 0, last_share_ = 0;  // of the last line
};

}  // namespace karat::cli
