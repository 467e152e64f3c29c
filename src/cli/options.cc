#include "cli/options.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <optional>

#include "base/error.h"
#include "base/text.h"
#include "cli/foreign.h"

namespace karat::cli {

using base::ErrorKind;
using base::fail;

namespace {

// The name to use in messages: the long one, or the positional's.
std::string shown_name(const std::string& names) {
  const size_t comma = names.rfind(',');
  return comma == std::string::npos ? names : names.substr(comma + 1);
}

// llama.cpp's long names with one dash ("-sys"), which CLI11 would read as bundled short options.
bool is_one_dash_word(const std::string& name) {
  return name.size() > 2 && name[0] == '-' && name[1] != '-' && name[1] != '=';
}

// The option's names as CLI11 wants them: "-sys" becomes "--sys".
std::string parser_names(const Option& option) {
  std::string names;
  for (const std::string& name : option.name_list()) {
    names += (names.empty() ? "" : ",") + ((is_one_dash_word(name) ? "-" : "") + name);
  }
  return names;
}

// The arguments with declared one-dash words rewritten in the same way, last first.
std::vector<std::string> parser_arguments(const std::vector<std::string>& arguments,
                                          const std::deque<Option>& options) {
  std::vector<std::string> out(arguments.rbegin(), arguments.rend());
  for (const Option& option : options) {
    for (const std::string& name : option.name_list()) {
      if (!is_one_dash_word(name)) continue;
      for (std::string& argument : out) {
        if (argument.substr(0, argument.find('=')) == name) argument.insert(0, "-");
      }
    }
  }
  return out;
}

// "; did you mean X?", or nothing.
std::string hint(const std::string& word, const std::vector<std::string>& candidates) {
  const auto similar = base::did_you_mean(word, candidates);
  return similar ? "; did you mean " + *similar + "?" : "";
}

void declare(CLI::App& app, Option& option) {
  if (option.value.empty() && !option.positional()) {
    app.add_flag_function(parser_names(option), [&option](int64_t) { option.accept(""); });
    return;
  }
  CLI::callback_t callback = [&option](const std::vector<std::string>& values) {
    for (const std::string& value : values) option.accept(value);
    return true;
  };
  CLI::Option* declared = app.add_option(parser_names(option), callback);
  declared->required(option.required);
  if (option.several) {
    declared->expected(1, CLI::detail::expected_max_vector_size);
    if (option.positional()) declared->allow_extra_args();
  } else if (option.repeated) {
    declared->expected(1)->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  } else {
    declared->expected(1)->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  }
}

[[noreturn]] void refuse_extra(const std::string& verb, const std::string& extra,
                               const std::deque<Option>& options) {
  const std::string shown = base::printable(extra);
  if (extra.empty() || extra[0] != '-') {
    throw fail(ErrorKind::usage, "unexpected argument '%s' (karat %s --help lists them)",
               shown.c_str(), verb.c_str());
  }
  const std::string name = extra.substr(0, extra.find('='));
  std::vector<std::string> names;
  for (const Option& option : options) {
    if (option.hidden) continue;
    for (const std::string& known : option.name_list()) names.push_back(known);
  }
  if (const auto advice = foreign_option(name)) {
    throw fail(ErrorKind::usage, "unknown option '%s': %s", shown.c_str(), advice->c_str());
  }
  throw fail(ErrorKind::usage, "unknown option '%s'%s (karat %s --help lists them)", shown.c_str(),
             hint(name, names).c_str(), verb.c_str());
}

}  // namespace

std::vector<std::string> Option::name_list() const {
  std::vector<std::string> parts;
  for (size_t begin = 0; begin <= names.size();) {
    const size_t end = std::min(names.find(',', begin), names.size());
    parts.push_back(names.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

Option& Options::add(Option option) {
  options_.push_back(std::move(option));
  return options_.back();
}

void Options::mark_common(size_t begin) {
  for (size_t i = begin; i < options_.size(); ++i) options_[i].common = true;
}

Option& Options::flag(std::string names, bool& target, std::string help) {
  Option option;
  option.names = std::move(names);
  option.help = std::move(help);
  option.accept = [&target](const std::string&) { target = true; };
  return add(std::move(option));
}

Option& Options::text(std::string names, std::string value, std::string& target, std::string help) {
  Option option;
  option.names = std::move(names);
  option.value = std::move(value);
  option.help = std::move(help);
  option.accept = [&target](const std::string& text) { target = text; };
  return add(std::move(option));
}

Option& Options::integer(std::string names, std::string value, int64_t& target, std::string help,
                         int64_t low, int64_t high) {
  std::string unused;
  Option& option = text(std::move(names), std::move(value), unused, std::move(help));
  option.number = true;
  option.accept = [&target, low, high, name = shown_name(option.names)](const std::string& given) {
    char* end = nullptr;
    errno = 0;
    const long long number = std::strtoll(given.c_str(), &end, 10);
    if (given.empty() || *end != '\0' || errno != 0 || number < low || number > high) {
      const std::string range =
          low == INT64_MIN ? "" : base::strf(" of %lld or more", static_cast<long long>(low));
      throw fail(ErrorKind::usage, "%s: '%s' is not a whole number%s", name.c_str(),
                 base::printable(given).c_str(), range.c_str());
    }
    target = number;
  };
  return option;
}

Option& Options::number(std::string names, std::string value, double& target, std::string help) {
  std::string unused;
  Option& option = text(std::move(names), std::move(value), unused, std::move(help));
  option.number = true;
  option.accept = [&target, name = shown_name(option.names)](const std::string& given) {
    char* end = nullptr;
    const double number = std::strtod(given.c_str(), &end);
    if (given.empty() || *end != '\0' || !(number > -1e300 && number < 1e300)) {
      throw fail(ErrorKind::usage, "%s: '%s' is not a number", name.c_str(),
                 base::printable(given).c_str());
    }
    target = number;
  };
  return option;
}

Option& Options::bytes(std::string names, std::string value, uint64_t& target, std::string help) {
  std::string unused;
  Option& option = text(std::move(names), std::move(value), unused, std::move(help));
  option.number = true;
  option.accept = [&target, name = shown_name(option.names)](const std::string& given) {
    const std::optional<uint64_t> size = base::parse_bytes(given);
    if (!size) {
      throw fail(ErrorKind::usage, "%s: '%s' is not a size; write 8GiB, 500M or a number of bytes",
                 name.c_str(), base::printable(given).c_str());
    }
    target = *size;
  };
  return option;
}

Option& Options::choice(std::string names, std::vector<std::string> choices, std::string& target,
                        std::string help) {
  std::string value, unused;
  for (const std::string& c : choices) value += (value.empty() ? "" : "|") + c;
  Option& option = text(std::move(names), value, unused, std::move(help));
  option.choices = choices;
  option.accept = [&target, choices, value,
                   name = shown_name(option.names)](const std::string& given) {
    if (std::find(choices.begin(), choices.end(), given) == choices.end()) {
      throw fail(ErrorKind::usage, "%s: '%s' is not one of %s%s", name.c_str(),
                 base::printable(given).c_str(), value.c_str(), hint(given, choices).c_str());
    }
    target = given;
  };
  return option;
}

Option& Options::list(std::string names, std::string value, std::vector<std::string>& target,
                      std::string help) {
  Option& option = each(std::move(names), std::move(value), target, std::move(help));
  option.several = true;
  return option;
}

Option& Options::each(std::string names, std::string value, std::vector<std::string>& target,
                      std::string help) {
  std::string unused;
  Option& option = text(std::move(names), std::move(value), unused, std::move(help));
  option.repeated = true;
  option.accept = [&target](const std::string& given) { target.push_back(given); };
  return option;
}

bool Options::parse(const std::string& verb, const std::vector<std::string>& arguments) {
  if (std::any_of(arguments.begin(), arguments.end(),
                  [](const std::string& a) { return a == "-h" || a == "--help"; })) {
    return false;
  }
  CLI::App app;
  app.set_help_flag();
  app.allow_extras();
  for (Option& option : options_) declare(app, option);
  try {
    app.parse(parser_arguments(arguments, options_));
  } catch (const CLI::ParseError& error) {
    // A missing argument is often a mistyped one: name that first.
    for (const std::string& extra : app.remaining()) {
      if (extra.size() > 1 && extra[0] == '-') refuse_extra(verb, extra, options_);
    }
    throw fail(ErrorKind::usage, "%s (karat %s --help explains)", error.what(), verb.c_str());
  }
  if (!app.remaining().empty()) refuse_extra(verb, app.remaining()[0], options_);
  return true;
}

std::string Options::help(const std::string& verb, const std::string& usage,
                          const std::string& summary) const {
  std::string positionals, own, common;
  for (const Option& option : options_) {
    if (option.hidden) continue;
    std::string line = "  ";
    for (const std::string& name : option.name_list()) {
      line += (line.size() > 2 ? ", " : "") + name;
    }
    if (!option.positional() && !option.value.empty()) line += " " + option.value;
    line += line.size() < 34 ? std::string(34 - line.size(), ' ') : "\n" + std::string(34, ' ');
    std::string& section = option.positional() ? positionals : option.common ? common : own;
    section += line + option.help + "\n";
  }
  std::string text =
      "karat " + verb + ": " + summary + "\n\nUsage: karat " + verb + " " + usage + "\n";
  if (!positionals.empty()) text += "\nArguments:\n" + positionals;
  if (!own.empty()) text += "\nOptions:\n" + own;
  return common.empty() ? text : text + "\nOptions of every verb:\n" + common;
}

}  // namespace karat::cli
