// Completion scripts for shells.
#pragma once

#include <string>
#include <vector>

#include "cli/verb_table.h"

namespace karat::cli {

// Scripts that complete verbs, options, fixed values and file names. To be sourced, or put where
// the shell looks for completions.
std::string bash_completion(const std::vector<VerbTable>& verbs);
std::string zsh_completion(const std::vector<VerbTable>& verbs);
std::string fish_completion(const std::vector<VerbTable>& verbs);

}  // namespace karat::cli
