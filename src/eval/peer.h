// Another program with llama-bench's command line and JSON, measured on the same file.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "eval/speed.h"

namespace karat::eval {

struct PeerOptions {
  std::string program;  // llama-bench or one that behaves like it
  std::string model;    // a GGUF file
  int threads = 1;
  std::vector<std::string> arguments;  // passed on as they are
};

// Command line of one measurement: two repetitions, of which the last counts.
std::vector<std::string> peer_command(const PeerOptions& options, const SpeedTest& test);

struct PeerSample {
  int64_t ns = 0;
  std::string build;  // the peer's commit, as it says; empty if it does not
};
// What the program printed: the last of samples_ns of the one test. Text before the JSON is skipped
// (some print notes there). Error{bad_input} naming the program if there is no such result.
PeerSample parse_peer(const std::string& program, const std::string& printed);

// Starts the program once. The first repetition is not counted: some versions warm up with one
// token, and their first full pass still maps the file. Error{usage} if it cannot be started,
// {bad_input} with its last line if it fails.
PeerSample run_peer(const PeerOptions& options, const SpeedTest& test);

}  // namespace karat::eval
