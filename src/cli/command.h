// A verb of the program, and what all verbs share.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/threads.h"
#include "cli/options.h"

namespace karat::cli {

// Options that every verb has.
struct Common {
  bool json = false, quiet = false, verbose = false, force = false;
  int64_t threads = 0;     // 0: base::default_threads()
  uint64_t mem_limit = 0;  // bytes; 0: what the machine has
  int64_t seed = 0;
  std::string progress = "auto", color = "auto";

  int thread_count() const {
    return threads > 0 ? static_cast<int>(threads) : base::default_threads();
  }
};

class Command {
 public:
  virtual ~Command() = default;
  virtual std::string verb() const = 0;
  virtual std::string summary() const = 0;  // one line
  virtual std::string usage() const = 0;    // what follows "karat VERB"
  virtual void declare(Options& options) = 0;
  // Does the work; the exit status is 0 unless an Error is thrown.
  virtual void run(const Common& common) = 0;
};

// One maker per cmd_*.cc; all_commands() (commands.cc) lists them in the order of --help.
std::unique_ptr<Command> make_inspect();
std::unique_ptr<Command> make_convert();
std::unique_ptr<Command> make_calibrate();
std::unique_ptr<Command> make_quantize();
std::unique_ptr<Command> make_eval();
std::unique_ptr<Command> make_compare();
std::unique_ptr<Command> make_bench();
std::unique_ptr<Command> make_plan();
std::unique_ptr<Command> make_verify();
std::unique_ptr<Command> make_merge();
std::unique_ptr<Command> make_chat();
std::unique_ptr<Command> make_tokenize();
std::unique_ptr<Command> make_completion();
std::vector<std::unique_ptr<Command>> all_commands();
// The arguments with the names that other tools' users know for a verb replaced by ours: imatrix is
// calibrate, show is inspect, perplexity is eval ppl.
std::vector<std::string> without_alias(std::vector<std::string> arguments);

// Declares the options that every verb has.
void declare_common(Options& options, Common& common);

// Runs the program with the arguments after its name: returns the exit status (README.md,
// "Use"). The one place of cli/ that catches Error.
int run_program(const std::vector<std::string>& arguments);

// Writes the result to stdout; Error{io} if that fails.
void print(const std::string& text);
// One object with "schema": 1 in front.
void print_json(base::Json object);

// What --mem-limit or, without one, the memory that is available allow, in bytes; and the
// words for it: "--mem-limit allows", "this machine can give".
uint64_t memory_allowed(const Common& common);
std::string memory_limit(const Common& common);
// Error{memory} naming `what` ("calibrate: the model's weights") if `bytes_needed` exceeds
// --mem-limit or, without one, what is available.
void require_memory(const Common& common, uint64_t bytes_needed, const std::string& what);

}  // namespace karat::cli
