// karat_manual FOLDER: writes what is installed beside the program, made from its table of options:
// FOLDER/man/*.1 and FOLDER/completion/{bash,zsh,fish}.
#include <cstdio>
#include <filesystem>

#include "base/file.h"
#include "cli/completion.h"
#include "cli/manual.h"

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: karat_manual FOLDER\n");
    return 2;
  }
  using karat::base::write_file;
  const std::string man = std::string(argv[1]) + "/man";
  const std::string completion = std::string(argv[1]) + "/completion";
  std::filesystem::create_directories(man);
  std::filesystem::create_directories(completion);
  const auto verbs = karat::cli::verb_tables();
  write_file(man + "/karat.1", karat::cli::manual_overview(verbs));
  for (const auto& verb : verbs) {
    write_file(man + "/karat-" + verb.verb + ".1", karat::cli::manual_page(verb));
  }
  write_file(completion + "/bash", karat::cli::bash_completion(verbs));
  write_file(completion + "/zsh", karat::cli::zsh_completion(verbs));
  write_file(completion + "/fish", karat::cli::fish_completion(verbs));
  return 0;
}
