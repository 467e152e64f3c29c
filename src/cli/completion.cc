#include "cli/completion.h"

namespace karat::cli {

namespace {

std::string join(const std::vector<std::string>& words, const std::string& between = " ") {
  std::string out;
  for (const std::string& word : words) out += (out.empty() ? "" : between) + word;
  return out;
}

// For use inside single quotes.
std::string quoted(const std::string& text, const std::string& escaped_quote) {
  std::string out;
  for (const char c : text) out += c == '\'' ? escaped_quote : std::string(1, c);
  return "'" + out + "'";
}

std::string verb_names(const std::vector<VerbTable>& verbs) {
  std::vector<std::string> names;
  for (const VerbTable& verb : verbs) names.push_back(verb.verb);
  return join(names);
}

// bash: one `case` branch per verb sets what the generic part at the end works from.

// A branch for the values of an option or positional: nothing for numbers, files for the rest.
std::string bash_values(const std::string& pattern, const Option& option) {
  const std::string words = option.choices.empty() ? "" : join(option.choices);
  if (words.empty() && !option.number) return "";
  return "        " + pattern + ") words='" + words + "'; kind=words ;;\n";
}

std::string bash_verb(const VerbTable& verb) {
  std::string values, places;
  std::vector<std::string> names, with_value;
  int place = 0;
  for (const Option& option : verb.options) {
    if (option.positional()) {
      places += bash_values(std::to_string(place++), option);
      continue;
    }
    const std::vector<std::string> own = option.name_list();
    names.insert(names.end(), own.begin(), own.end());
    if (!option.takes_value()) continue;
    with_value.insert(with_value.end(), own.begin(), own.end());
    values += bash_values(join(own, "|"), option);
  }
  std::string out = "    " + verb.verb + ")\n      options='" + join(names) +
                    " --help'\n      with_value=' " + join(with_value) + " '\n";
  if (!values.empty()) out += "      case $previous in\n" + values + "      esac\n";
  if (!places.empty()) {
    out += "      _karat_place\n      [[ $kind || $current == -* ]] || case $place in\n" + places +
           "      esac\n";
  }
  return out + "      ;;\n";
}

constexpr const char* kBashStart = R"(# bash completion for karat
# How many arguments that are no options stand before the current word, or nothing if the current
# word is the value of an option.
_karat_place() {
  local i
  place=0
  if [[ $with_value == *" $previous "* ]]; then place=; return; fi
  for ((i = 2; i < COMP_CWORD; ++i)); do
    if [[ $with_value == *" ${COMP_WORDS[i]} "* ]]; then
      ((++i))
    elif [[ ${COMP_WORDS[i]} != -* ]]; then
      ((++place))
    fi
  done
}

_karat() {
  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
  local options= with_value= words= kind= place=
  COMPREPLY=()
  # Bash splits --name=value into three words.
  if [[ $current == = ]]; then
    current=
  elif [[ $previous == = ]]; then
    previous=${COMP_WORDS[COMP_CWORD - 2]}
  fi
  if ((COMP_CWORD == 1)); then
)";

constexpr const char* kBashEnd = R"(  esac
  if [[ ! $kind && $current == -* && $with_value != *" $previous "* ]]; then
    words=$options
    kind=words
  fi
  if [[ $kind ]]; then
    COMPREPLY=($(compgen -W "$words" -- "$current"))
  else
    mapfile -t COMPREPLY < <(compgen -f -- "$current")
    compopt -o filenames 2>/dev/null
  fi
}
complete -F _karat karat
)";

// zsh

std::string zsh_text(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '[' || c == ']' || c == ':' || c == '\\') out += '\\';
    out += c;
  }
  return out;
}

std::string zsh_value(const Option& option) {
  const std::string name = option.positional() ? option.names : option.value;
  const std::string message = ":" + (option.choices.empty() ? zsh_text(name) : "value") + ":";
  if (!option.choices.empty()) return message + "(" + join(option.choices) + ")";
  return message + (option.number ? " " : "_files");
}

std::string zsh_option(const Option& option, int& place) {
  if (option.positional()) {
    const std::string where = option.repeated ? "*" : std::to_string(++place);
    const bool optional = !option.required && !option.repeated;
    return quoted(where + (optional ? ":" : "") + zsh_value(option), "'\\''");
  }
  const std::vector<std::string> names = option.name_list();
  const std::string others = option.repeated ? "*" : "(" + join(names) + ")";
  std::string out;
  for (const std::string& name : names) {
    std::string spec = others + name;
    if (option.takes_value() && name.compare(0, 2, "--") == 0) spec += "=";
    spec += "[" + zsh_text(option.help) + "]";
    if (option.takes_value()) spec += zsh_value(option);
    out += (out.empty() ? "" : " ") + quoted(spec, "'\\''");
  }
  return out;
}

// fish

std::string fish_values(const Option& option) {
  if (!option.choices.empty()) return " -x -a " + quoted(join(option.choices), "\\'");
  return option.number ? " -x" : " -r -F";
}

std::string fish_option(const std::string& verb, const Option& option) {
  std::string out = "complete -c karat -n '__fish_seen_subcommand_from " + verb + "'";
  if (option.positional()) {
    return out + (option.choices.empty() ? " -F" : " -a " + quoted(join(option.choices), "\\'"));
  }
  for (const std::string& name : option.name_list()) {
    const bool two = name.compare(0, 2, "--") == 0;
    out += two ? " -l " + name.substr(2) : (name.size() == 2 ? " -s " : " -o ") + name.substr(1);
  }
  if (option.takes_value()) out += fish_values(option);
  return out + " -d " + quoted(option.help, "\\'");
}

}  // namespace

std::string bash_completion(const std::vector<VerbTable>& verbs) {
  std::string out = kBashStart;
  out += "    COMPREPLY=($(compgen -W '" + verb_names(verbs) +
         " --help --version' -- \"$current\"))\n    return\n  fi\n  case ${COMP_WORDS[1]} in\n";
  for (const VerbTable& verb : verbs) out += bash_verb(verb);
  return out + kBashEnd;
}

std::string zsh_completion(const std::vector<VerbTable>& verbs) {
  std::string out =
      "#compdef karat\n_karat() {\n  local -a verbs\n  if (( CURRENT == 2 )); then\n    verbs=(\n";
  for (const VerbTable& verb : verbs) {
    out += "      " + quoted(verb.verb + ":" + zsh_text(verb.summary), "'\\''") + "\n";
  }
  out +=
      "    )\n    _describe verb verbs\n    return\n  fi\n  local verb=$words[2]\n"
      "  shift words\n  (( CURRENT-- ))\n  case $verb in\n";
  for (const VerbTable& verb : verbs) {
    out += "    " + verb.verb + ")\n      _arguments \\\n";
    int place = 0;
    for (const Option& option : verb.options) {
      out += "        " + zsh_option(option, place) + " \\\n";
    }
    out += "        '--help[explain the verb]'\n      ;;\n";
  }
  return out +
         "  esac\n}\n"
         "# As a file of the function path this is called, sourced it is registered.\n"
         "if [[ $funcstack[1] == _karat ]]; then\n  _karat \"$@\"\nelse\n"
         "  compdef _karat karat\nfi\n";
}

std::string fish_completion(const std::vector<VerbTable>& verbs) {
  std::string out = "# fish completion for karat\ncomplete -c karat -f\n";
  for (const VerbTable& verb : verbs) {
    out += "complete -c karat -n __fish_use_subcommand -a " + verb.verb + " -d " +
           quoted(verb.summary, "\\'") + "\n";
  }
  out += "complete -c karat -n __fish_use_subcommand -l version -d 'print version and build'\n";
  out += "complete -c karat -l help -d 'explain'\n";
  for (const VerbTable& verb : verbs) {
    for (const Option& option : verb.options) out += fish_option(verb.verb, option) + "\n";
  }
  return out;
}

}  // namespace karat::cli
