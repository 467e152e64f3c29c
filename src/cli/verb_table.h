// The verbs and their options as data: what --help, completion and the manual are made from.
#pragma once

#include <string>
#include <vector>

#include "cli/command.h"

namespace karat::cli {

struct VerbTable {
  std::string verb, summary, usage;
  std::vector<Option> options;  // in the order of declaration, none hidden; `accept` is empty
};

// One per verb, in the order of --help.
std::vector<VerbTable> verb_tables();

}  // namespace karat::cli
