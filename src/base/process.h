// Other programs: started without a shell, waited for, their output kept.
#pragma once

#include <string>
#include <vector>

namespace karat::base {

struct ProcessResult {
  int status = 0;  // of the exit; 128 + N if signal N ended the program
  std::string out, err;
};

// Runs command[0] (a path, or a name to be found by PATH) with the arguments after it and nothing
// on stdin, and waits for its end. Error{usage} if there is no such program; a signal that asks us
// to stop reaches the program as well, being sent to the whole foreground, and is left to the
// caller (base/interrupt.h).
ProcessResult run_process(const std::vector<std::string>& command);

}  // namespace karat::base
