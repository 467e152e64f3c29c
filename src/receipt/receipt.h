// What produced an artifact. The part inside the file holds only what determines its bytes (inputs'
// hashes, options, version); times, host and threads go to OUT.receipt.json beside it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/file.h"
#include "base/json.h"
#include "base/threads.h"

namespace karat::receipt {

inline constexpr const char* kVersion = "0.1.0";

struct Input {
  std::string name;  // file name without folders
  uint64_t bytes = 0;
  std::string sha256;
};

struct Receipt {
  std::string verb;
  std::vector<Input> inputs;
  base::Json options = base::Json::object();               // only what determines the bytes
  std::vector<std::pair<std::string, std::string>> notes;  // e.g. fallbacks taken
};

// Hashes the files, one per index in parallel; in the order given. Errors as base::File's.
std::vector<Input> hash_inputs(const std::vector<std::string>& paths, base::ThreadPool& pool);

// The receipt as string key-values for the artifact's metadata: karat.version, karat.verb,
// karat.inputs ("sha256 bytes name" lines), karat.options (one-line JSON), karat.notes if any.
std::vector<std::pair<std::string, std::string>> metadata_entries(const Receipt& receipt);

// What a run cost, and on what machine.
struct Circumstances {
  double seconds = 0;
  int threads = 1;
  std::string instruction_set;
};

// A file that was written: the name it gets, and the one under which its bytes are now.
struct Output {
  std::string path, written;
};

// OUT.receipt.json, complete but for its name (the caller commits it): the receipt, bytes and
// SHA-256 of the outputs, and what does not determine them: seconds, threads, peak memory of this
// process, the machine's name, processor and instruction set, the compiler and the program's hash.
std::unique_ptr<base::OutputFile> receipt_file(const std::string& out,
                                               const std::vector<Output>& outputs,
                                               const Receipt& receipt,
                                               const Circumstances& circumstances);
// The same for the one file `out`, whose bytes are now under the name `written`.
std::unique_ptr<base::OutputFile> receipt_file(const std::string& out, const std::string& written,
                                               const Receipt& receipt, double seconds, int threads,
                                               const std::string& instruction_set);

}  // namespace karat::receipt
