// Ctrl-C and SIGTERM as a flag that long loops look at. The first signal sets the flag, the second
// ends the process at once.
#pragma once

namespace karat::base {

// Installs handlers for SIGINT, SIGTERM and SIGHUP. Called once, by cli/main.
void catch_signals();
// The signal that arrived, or 0.
int pending_signal();
// Forgets it: chat uses this after it has ended the reply.
void clear_signal();
// Throws Error{interrupted} if a signal is pending.
void stop_if_interrupted();

}  // namespace karat::base
