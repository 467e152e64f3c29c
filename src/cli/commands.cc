#include <map>

#include "cli/command.h"

namespace karat::cli {

std::vector<std::unique_ptr<Command>> all_commands() {
  std::vector<std::unique_ptr<Command>> commands;
  commands.push_back(make_inspect());
  commands.push_back(make_convert());
  commands.push_back(make_calibrate());
  commands.push_back(make_quantize());
  commands.push_back(make_eval());
  commands.push_back(make_compare());
  commands.push_back(make_plan());
  commands.push_back(make_bench());
  commands.push_back(make_verify());
  commands.push_back(make_merge());
  commands.push_back(make_chat());
  commands.push_back(make_tokenize());
  commands.push_back(make_completion());
  return commands;
}

std::vector<std::string> without_alias(std::vector<std::string> arguments) {
  const std::map<std::string, std::vector<std::string>> aliases = {
      {"imatrix", {"calibrate"}}, {"show", {"inspect"}}, {"perplexity", {"eval", "ppl"}}};
  const auto alias = arguments.empty() ? aliases.end() : aliases.find(arguments.front());
  if (alias == aliases.end()) return arguments;
  arguments.erase(arguments.begin());
  arguments.insert(arguments.begin(), alias->second.begin(), alias->second.end());
  return arguments;
}

}  // namespace karat::cli
