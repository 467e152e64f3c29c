#include "base/interrupt.h"

#include <unistd.h>

#include <atomic>
#include <csignal>

#include "base/error.h"

namespace karat::base {

namespace {

std::atomic<int> g_signal{0};
static_assert(std::atomic<int>::is_always_lock_free, "safe in a signal handler");

void on_signal(int number) {
  if (g_signal.exchange(number) != 0) ::_exit(128 + number);
}

}  // namespace

void catch_signals() {
  struct sigaction action {};
  action.sa_handler = on_signal;  // no SA_RESTART: a blocking read returns so that the flag is seen
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) ::sigaction(number, &action, nullptr);
  std::signal(SIGPIPE, SIG_DFL);
  std::signal(SIGXFSZ, SIG_IGN);  // a write over the file-size limit fails with EFBIG instead
}

int pending_signal() { return g_signal; }
void clear_signal() { g_signal = 0; }

void stop_if_interrupted() {
  if (g_signal != 0) throw Error(ErrorKind::interrupted, "interrupted");
}

}  // namespace karat::base
