#include "cli/manual.h"

#include "base/text.h"
#include "receipt/receipt.h"

namespace karat::cli {

namespace {

// Text that roff prints as it is.
std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '\\') {
      out += "\\e";
    } else if (c == '-') {
      out += "\\-";
    } else if (c == '\'') {
      out += "\\(aq";
    } else if (c == '"') {
      out += "\\(dq";
    } else {
      out += c;
    }
  }
  return !out.empty() && out[0] == '.' ? "\\&" + out : out;
}

std::string bold(const std::string& text) { return "\\fB" + escaped(text) + "\\fR"; }
std::string italic(const std::string& text) { return "\\fI" + escaped(text) + "\\fR"; }

std::string title(const std::string& page) {
  return ".TH " + escaped(page) + " 1 \"\" \"karat " + std::string(receipt::kVersion) +
         "\" \"User Commands\"\n";
}

// "-m, --model MODEL" with the description below.
std::string entry(const Option& option) {
  std::string head;
  if (option.positional()) {
    head = italic(option.names);
  } else {
    for (const std::string& name : option.name_list())
      head += (head.empty() ? "" : ", ") + bold(name);
    if (option.takes_value()) head += " " + italic(option.value);
  }
  std::string text = option.help;
  if (!option.choices.empty()) {
    text += ". One of";
    for (const std::string& choice : option.choices) text += " " + choice;
  }
  return ".TP\n" + head + "\n" + escaped(text) + "\n";
}

std::string entries(const VerbTable& verb, bool positional, bool common) {
  std::string out;
  for (const Option& option : verb.options) {
    if (option.positional() == positional && option.common == common) out += entry(option);
  }
  return out;
}

std::string section(const std::string& name, const std::string& body) {
  return body.empty() ? "" : ".SH " + name + "\n" + body;
}

struct Line {
  const char* head;
  const char* text;
};

std::string list(std::initializer_list<Line> lines) {
  std::string out;
  for (const Line& line : lines)
    out += ".TP\n" + bold(line.head) + "\n" + escaped(line.text) + "\n";
  return out;
}

std::string exit_statuses() {
  return list({{"0", "done"},
               {"1", "a bug in karat"},
               {"2", "wrong command line"},
               {"3", "the input is invalid, truncated or of a kind karat does not handle"},
               {"4", "reading or writing failed, or the disk is full"},
               {"5", "not enough memory"},
               {"6", "a check failed"},
               {"7", "the output exists, is in use, or is the input"},
               {"130, 143", "ended by SIGINT, SIGTERM"}});
}

std::string environment() {
  return list(
      {{"KARAT_ISA",
        "the instruction set to use (scalar, avx2, avx512, avx512_bf16); results are the same"},
       {"KARAT_THREADS", "the number of threads where -t is not given"},
       {"NO_COLOR, CLICOLOR_FORCE", "no colours; colours even where stderr is no terminal"}});
}

}  // namespace

std::string manual_overview(const std::vector<VerbTable>& verbs) {
  std::string out =
      title("KARAT") + section("NAME", "karat \\- small model files that can be trusted\n");
  out += section("SYNOPSIS", bold("karat") + " " + italic("VERB") + " [options]\n");
  out += section("DESCRIPTION",
                 "Makes small files of large open models, and measures what that cost.\n"
                 "The result goes to standard output, everything else to standard error.\n");
  std::string list_of_verbs, see_also;
  for (const VerbTable& verb : verbs) {
    list_of_verbs += ".TP\n" + bold(verb.verb) + "\n" + escaped(verb.summary) + "\n";
    see_also += (see_also.empty() ? ".BR " : ",\n.BR ") + escaped("karat-" + verb.verb) + " (1)";
  }
  out += section("VERBS", list_of_verbs);
  if (!verbs.empty()) out += section("OPTIONS OF EVERY VERB", entries(verbs[0], false, true));
  out += section("EXIT STATUS", exit_statuses()) + section("ENVIRONMENT", environment());
  return out + section("SEE ALSO", see_also + "\n");
}

std::string manual_page(const VerbTable& verb) {
  std::string upper = "KARAT-";
  for (const char c : verb.verb) upper += static_cast<char>(c >= 'a' && c <= 'z' ? c - 32 : c);
  std::string out = title(upper);
  out += section("NAME", escaped("karat-" + verb.verb) + " \\- " + escaped(verb.summary) + "\n");
  out += section("SYNOPSIS", bold("karat " + verb.verb) + " " + escaped(verb.usage) + "\n");
  out += section("ARGUMENTS", entries(verb, true, false));
  out += section("OPTIONS", entries(verb, false, false));
  out += section("OPTIONS OF EVERY VERB", entries(verb, false, true));
  out += section("EXIT STATUS", exit_statuses());
  return out + section("SEE ALSO", ".BR karat (1)\n");
}

}  // namespace karat::cli
