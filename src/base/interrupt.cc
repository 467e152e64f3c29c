#include "base/interrupt.h"

#include <csignal>
#include <unistd.h>

#include "base/error.h"

namespace karat::base {

namespace {

volatile std::sig_atomic_t g_signal = 0;

void on_signal(int number) {
  if (g_signal != 0) ::_exit(128 + number);
  g_signal = number;
}

}  // namespace

void catch_signals() {
  struct sigaction action {};
  action.sa_handler = on_signal;  // no SA_RESTART: a blocking read returns so that the flag is seen
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) ::sigaction(number, &action, nullptr);
  std::signal(SIGPIPE, SIG_DFL);
}

int pending_signal() { return g_signal; }
void clear_signal() { g_signal = 0; }

void stop_if_interrupted() {
  if (g_signal != 0) throw Error(ErrorKind::interrupted, "interrupted");
}

}  // namespace karat::base
