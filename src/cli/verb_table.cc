#include "cli/verb_table.h"

namespace karat::cli {

std::vector<VerbTable> verb_tables() {
  std::vector<VerbTable> tables;
  for (const auto& command : all_commands()) {
    VerbTable table{command->verb(), command->summary(), command->usage(), {}};
    Options options;
    Common common;
    command->declare(options);
    declare_common(options, common);
    for (const Option& option : options.all()) {
      if (option.hidden) continue;
      table.options.push_back(option);
      table.options.back().accept = nullptr;
    }
    tables.push_back(std::move(table));
  }
  return tables;
}

}  // namespace karat::cli
