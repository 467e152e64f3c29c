// One table of options per verb, from which parsing, --help, completion and manual pages are made.
// The parser behind it is CLI11, wrapped in options.cc and nowhere else.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <vector>

namespace karat::cli {

// What an option looks like to a person; parsing is in `accept`.
struct Option {
  std::string names;  // "-m,--model"; a positional has a bare name: "IN"
  std::string value;  // placeholder of the value, "" for a flag
  std::string help;
  std::vector<std::string> choices;  // allowed values, if fixed
  bool required = false;
  bool repeated = false;  // may be given more than once
  bool several = false;   // takes several values at a time
  bool hidden = false;    // understood, but not listed by --help
  bool common = false;    // one that every verb has
  bool number = false;    // the value is a number or a size: no file, nothing to complete
  // Called once per value ("" for a flag). Throws Error{usage} naming the option if it will not do.
  std::function<void(const std::string&)> accept;
  bool positional() const { return !names.empty() && names[0] != '-'; }
  bool takes_value() const { return positional() || !value.empty(); }
  // "-m,--model" one by one.
  std::vector<std::string> name_list() const;
};

class Options {
 public:
  // Declarations; a target keeps its value as the default if the option is not given. The returned
  // reference is for setting `required`, `repeated`, `hidden`; it stays valid.
  Option& flag(std::string names, bool& target, std::string help);
  Option& text(std::string names, std::string value, std::string& target, std::string help);
  Option& integer(std::string names, std::string value, int64_t& target, std::string help,
                  int64_t low = INT64_MIN, int64_t high = INT64_MAX);
  Option& number(std::string names, std::string value, double& target, std::string help);
  Option& bytes(std::string names, std::string value, uint64_t& target, std::string help);
  Option& choice(std::string names, std::vector<std::string> choices, std::string& target,
                 std::string help);
  // Several values at a time, any number of times: "-f A B -f C".
  Option& list(std::string names, std::string value, std::vector<std::string>& target,
               std::string help);
  // One value at a time, any number of times, so that a positional may follow.
  Option& each(std::string names, std::string value, std::vector<std::string>& target,
               std::string help);

  const std::deque<Option>& all() const { return options_; }
  // The options from that index on are those of every verb.
  void mark_common(size_t begin);

  // Reads the arguments after the verb. Unknown options end in Error{usage} with a suggestion, as
  // do missing required ones. Returns false if --help was asked for.
  bool parse(const std::string& verb, const std::vector<std::string>& arguments);
  // The --help page of a verb.
  std::string help(const std::string& verb, const std::string& usage,
                   const std::string& summary) const;

 private:
  Option& add(Option option);
  std::deque<Option> options_;
};

}  // namespace karat::cli
