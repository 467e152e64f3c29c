#include <cstdio>
#include <new>

#include "base/error.h"
#include "base/interrupt.h"
#include "base/memory.h"
#include "base/text.h"
#include "cli/build_id.h"
#include "cli/command.h"
#include "cli/foreign.h"
#include "cli/terminal.h"
#include "kernels/dispatch.h"
#include "receipt/receipt.h"

namespace karat::cli {

using base::Error;
using base::ErrorKind;
using base::fail;

namespace {

int status_of(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::internal:
      return 1;
    case ErrorKind::usage:
      return 2;
    case ErrorKind::bad_input:
      return 3;
    case ErrorKind::unsupported:
      return 3;
    case ErrorKind::io:
      return 4;
    case ErrorKind::memory:
      return 5;
    case ErrorKind::gate:
      return 6;
    case ErrorKind::exists:
      return 7;
    case ErrorKind::network:
      return 8;
    case ErrorKind::interrupted:
      return 128 + base::pending_signal();
  }
  return 1;
}

std::string version_text() {
  return base::strf("karat %s\nbuild %s\ncompiler %s\ninstruction set %s\n", receipt::kVersion,
                    kBuildId, __VERSION__, kernels::table().name);
}

std::string overview() {
  std::string text =
      "karat: turns a large open model into small files that people can trust.\n\n"
      "Usage: karat VERB [options]; karat VERB --help explains a verb.\n\nVerbs:\n";
  for (const auto& command : all_commands()) {
    text += base::strf("  %-11s%s\n", command->verb().c_str(), command->summary().c_str());
  }
  return text + "\nkarat --version names the build and the instruction set in use.\n";
}

std::unique_ptr<Command> command_named(const std::string& verb) {
  std::vector<std::string> verbs;
  for (auto& command : all_commands()) {
    if (command->verb() == verb) return std::move(command);
    verbs.push_back(command->verb());
  }
  if (const auto advice = foreign_verb(verb)) {
    throw fail(ErrorKind::usage, "unknown verb '%s': %s", base::printable(verb).c_str(),
               advice->c_str());
  }
  const auto hint = base::did_you_mean(verb, verbs);
  throw fail(ErrorKind::usage, "unknown verb '%s'%s (karat --help lists them)",
             base::printable(verb).c_str(), hint ? ("; did you mean " + *hint + "?").c_str() : "");
}

// "help VERB" as "VERB --help".
std::vector<std::string> without_help_verb(std::vector<std::string> arguments) {
  if (arguments.size() < 2 || arguments[0] != "help") return arguments;
  arguments.erase(arguments.begin());
  arguments.emplace_back("--help");
  return arguments;
}

void run_verb(const std::vector<std::string>& given) {
  const std::vector<std::string> arguments = without_alias(without_help_verb(given));
  if (arguments.empty()) throw fail(ErrorKind::usage, "a verb is needed (karat --help lists them)");
  if (arguments[0] == "--help" || arguments[0] == "-h" || arguments[0] == "help") {
    print(overview());
    return;
  }
  if (arguments[0] == "--version") {
    print(version_text());
    return;
  }
  const std::unique_ptr<Command> command = command_named(arguments[0]);
  Options options;
  Common common;
  command->declare(options);
  declare_common(options, common);
  if (!options.parse(command->verb(), {arguments.begin() + 1, arguments.end()})) {
    print(options.help(command->verb(), command->usage(), command->summary()));
    return;
  }
  install_terminal(common);
  command->run(common);
}

void report(const char* message, const char* note) {
  clear_progress();
  std::fprintf(stderr, "karat: %s%s\n", message, note);
}

constexpr const char* kBugNote = " (a bug in karat: please report it)";

}  // namespace

void declare_common(Options& options, Common& common) {
  const size_t own = options.all().size();
  options.flag("--json", common.json, "print the result as one JSON object");
  options.flag("-q,--quiet", common.quiet, "print results and warnings only");
  options.flag("-v,--verbose", common.verbose, "print more of what happens");
  options.flag("--force", common.force, "replace an output that exists");
  options.integer("-t,--threads", "N", common.threads, "threads (default: all CPUs)", 1, 1024);
  options.bytes("--mem-limit", "SIZE", common.mem_limit, "refuse to use more memory than this");
  options.integer("-s,--seed", "N", common.seed, "seed of everything random (default 0)", 0);
  options.choice("--progress", {"auto", "bar", "plain", "json", "none"}, common.progress,
                 "how progress is shown on stderr");
  options.choice("--color", {"auto", "always", "never"}, common.color, "colours on stderr");
  options.mark_common(own);
}

void print(const std::string& text) {
  clear_progress();
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() || std::fflush(stdout) != 0) {
    throw fail(ErrorKind::io, "stdout: the result could not be written");
  }
}

void print_json(base::Json object) {
  base::Json out = base::Json::object();
  out.set("schema", 1);
  for (auto& [key, value] : object.as_object()) out.set(key, std::move(value));
  print(out.dump(2) + "\n");
}

uint64_t memory_allowed(const Common& common) {
  return common.mem_limit > 0 ? common.mem_limit : base::available_memory();
}

std::string memory_limit(const Common& common) {
  return common.mem_limit > 0 ? "--mem-limit allows" : "this machine can give";
}

void require_memory(const Common& common, uint64_t bytes_needed, const std::string& what) {
  const uint64_t allowed = memory_allowed(common);
  if (bytes_needed <= allowed) return;
  throw fail(ErrorKind::memory, "%s: %s of memory are needed, %s %s", what.c_str(),
             base::both_units(bytes_needed).c_str(), memory_limit(common).c_str(),
             base::both_units(allowed).c_str());
}

int run_program(const std::vector<std::string>& arguments) {
  base::catch_signals();
  try {
    run_verb(arguments);
    return 0;
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::interrupted) {
      report(error.what(), error.kind() == ErrorKind::internal ? kBugNote : "");
    }
    return status_of(error.kind());
  } catch (const std::bad_alloc&) {
    report("out of memory", "");
    return 5;
  } catch (const std::exception& error) {
    report(error.what(), kBugNote);
    return 1;
  }
}

}  // namespace karat::cli
