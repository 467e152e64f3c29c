#include "cli/progress_text.h"

#include <algorithm>

#include "base/json.h"
#include "base/text.h"

namespace karat::cli {

namespace {

using base::ProgressEvent;
using base::strf;

constexpr double kPlainSeconds = 10, kPlainShare = 0.05, kPlainSecondsMax = 60, kJsonSeconds = 1;
constexpr size_t kBarColumnsMin = 6, kBarColumnsMax = 20;

double share_of(const ProgressEvent& event) {
  return event.total > 0 ? std::clamp(event.done / event.total, 0.0, 1.0) : 1;
}

// Work per second of this run.
double rate_of(const ProgressEvent& event) {
  return event.seconds > 0 ? std::max(0.0, event.done - event.skipped) / event.seconds : 0;
}

// Seconds that the rest takes at the rate so far; negative if there is no telling.
double seconds_left(const ProgressEvent& event) {
  const double rate = rate_of(event);
  return rate > 0 ? std::max(0.0, event.total - event.done) / rate : -1;
}

std::string rate_text(const ProgressEvent& event) {
  const double rate = rate_of(event);
  if (event.unit == "bytes") return strf("%.1f MB/s", rate / 1e6);
  if (event.unit == "flops") return strf("%.1f GFLOP/s", rate / 1e9);
  return strf("%.0f %s/s", rate, event.unit.c_str());
}

std::string duration(double seconds) {
  const auto whole = static_cast<long long>(std::min(seconds, 1e12) + 0.5);
  if (whole < 100) return strf("%lld s", whole);
  if (whole < 6000) return strf("%lld min %02lld s", whole / 60, whole % 60);
  return strf("%lld h %02lld min", whole / 3600, whole / 60 % 60);
}

std::string share_text(const ProgressEvent& event) {
  return strf("%s %3.0f %%", event.stage.c_str(), 100 * share_of(event));
}

// Rate, elapsed, ETA.
std::string times_text(const ProgressEvent& event) {
  const std::string text = "  " + rate_text(event) + "  " + duration(event.seconds);
  if (event.finished) return text;
  const double left = seconds_left(event);
  return text + "  ETA " + (left < 0 ? std::string("?") : duration(left));
}

std::string current_text(const ProgressEvent& event) {
  if (event.finished || event.current.empty()) return "";
  return "  " + base::printable(event.current, 60);
}

std::string plain_line(const ProgressEvent& event, uint64_t memory) {
  return share_text(event) + times_text(event) + current_text(event) + "  RSS " +
         base::both_units(memory);
}

// What fits into `room` characters; the bar itself gets the rest.
std::string bar_line(const ProgressEvent& event, uint64_t memory, size_t room) {
  const std::string share = share_text(event);
  std::string rest = times_text(event);
  for (const std::string& field :
       {current_text(event), strf("  RSS %.2f GiB", static_cast<double>(memory) / 0x1p30)}) {
    if (share.size() + rest.size() + field.size() <= room) rest += field;
  }
  const size_t used = share.size() + rest.size() + std::string(" []").size();
  if (event.finished || used + kBarColumnsMin > room) {
    const std::string line = share + rest;
    return line.size() <= room ? line : base::printable(line, room);
  }
  const size_t columns = std::min(kBarColumnsMax, room - used);
  const auto filled = static_cast<size_t>(share_of(event) * static_cast<double>(columns));
  return share + " [" + std::string(filled, '#') + std::string(columns - filled, '.') + "]" + rest;
}

std::string json_of(const ProgressEvent& event, uint64_t memory) {
  base::Json line = base::Json::object();
  line.set("event", "progress");
  line.set("stage", event.stage);
  line.set("unit", event.unit);
  line.set("done", event.done);
  line.set("total", event.total);
  line.set("elapsed_s", event.seconds);
  const double left = event.finished ? 0 : seconds_left(event);
  line.set("eta_s", left < 0 ? base::Json() : base::Json(left));
  line.set("per_second", rate_of(event));
  line.set("current", event.current);
  line.set("rss_bytes", memory);
  line.set("finished", event.finished);
  return line.dump();
}

}  // namespace

bool ProgressText::due(const ProgressEvent& event) {
  const double seconds = event.seconds - last_seconds_;
  const double share = share_of(event) - last_share_;
  if (style_ == ProgressStyle::json) return event.finished || seconds >= kJsonSeconds;
  if (event.finished) return event.seconds >= kPlainSeconds;
  return seconds >= kPlainSeconds && (share >= kPlainShare || seconds >= kPlainSecondsMax);
}

std::string ProgressText::next(const ProgressEvent& event, uint64_t memory, int columns) {
  if (stage_ != event.stage) {
    stage_ = event.stage;
    last_seconds_ = 0;
    last_share_ = event.total > 0 ? event.skipped / event.total : 0;
  }
  if (event.finished) stage_.clear();
  if (style_ == ProgressStyle::none) return "";
  if (style_ == ProgressStyle::bar) {
    line_open_ = !event.finished;
    const auto room = static_cast<size_t>(std::max(20, columns - 1));
    return "\r\x1b[K" + bar_line(event, memory, room) + (event.finished ? "\n" : "");
  }
  if (!due(event)) return "";
  last_seconds_ = event.seconds;
  last_share_ = share_of(event);
  return (style_ == ProgressStyle::json ? json_of(event, memory) : plain_line(event, memory)) +
         "\n";
}

}  // namespace karat::cli
