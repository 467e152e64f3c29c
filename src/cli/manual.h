// Manual pages (man(7) macros) from the table of options.
#pragma once

#include <string>
#include <vector>

#include "cli/verb_table.h"

namespace karat::cli {

// karat.1: the verbs, the options they share, exit statuses, environment.
std::string manual_overview(const std::vector<VerbTable>& verbs);
// karat-VERB.1.
std::string manual_page(const VerbTable& verb);

}  // namespace karat::cli
