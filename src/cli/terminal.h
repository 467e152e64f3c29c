// stderr: warnings and progress. One writer for both, so that lines never mix.
#pragma once

#include "cli/command.h"

namespace karat::cli {

// Installs the sinks of base/log.h according to -q, -v, --progress and --color.
void install_terminal(const Common& common);
// Ends a progress bar's line, if one is on the screen, before something else is printed.
void clear_progress();

}  // namespace karat::cli
