#include "cli/command.h"

namespace karat::cli {

std::vector<std::unique_ptr<Command>> all_commands() {
  std::vector<std::unique_ptr<Command>> commands;
  commands.push_back(make_inspect());
  commands.push_back(make_convert());
  commands.push_back(make_calibrate());
  commands.push_back(make_quantize());
  commands.push_back(make_eval());
  commands.push_back(make_chat());
  commands.push_back(make_tokenize());
  return commands;
}

}  // namespace karat::cli
