// What produced an artifact. The part inside the file holds only what determines its bytes (inputs'
// hashes, options, version); times, host and threads go to OUT.receipt.json beside it.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
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

// Hashes the files, in parallel; in the order given. Errors as base::File's.
std::vector<Input> hash_inputs(const std::vector<std::string>& paths, base::ThreadPool& pool);

// Hashes files while others read them, so that a file larger than memory is fetched once: whoever
// has read some of them calls advance(), and the bytes are in memory still. Errors as base::File's.
class InputHasher {
 public:
  explicit InputHasher(const std::vector<std::string>& paths);
  ~InputHasher();

  // Hashes until this share of all bytes is done, in the order given. Thread-safe: returns at once
  // where another thread is at it.
  void advance(double share);
  // Hashes what is left, files in parallel, with a progress "hash"; all inputs, in order.
  std::vector<Input> finish(base::ThreadPool& pool);

 private:
  struct File;
  uint64_t bytes_ = 0, hashed_ = 0;
  std::mutex mutex_;  // guards hashed_ and the files' states
  std::vector<std::unique_ptr<File>> files_;
};

// The receipt as string key-values for the artifact's metadata: karat.version, karat.verb,
// karat.inputs ("sha256 bytes name" lines), karat.options (one-line JSON), karat.notes if any.
std::vector<std::pair<std::string, std::string>> metadata_entries(const Receipt& receipt);

// The processor's name for itself, or "unknown" where the kernel does not say.
std::string processor();

// What a run cost, and on what machine.
struct Circumstances {
  double seconds = 0;
  int threads = 1;
  std::string instruction_set;
};

// A file that was written: the name it gets, and the one under which its bytes are now, as many as
// `bytes` says, or all if that is 0.
struct Output {
  std::string path, written;
  uint64_t bytes = 0;
};

// OUT.receipt.json, complete but for its name (the caller commits it): the receipt, bytes and
// SHA-256 of the outputs (read with a progress "hash"), and what does not determine them: seconds,
// threads, peak memory of this process, the machine's name, processor and instruction set, the
// compiler and the program's hash.
std::unique_ptr<base::OutputFile> receipt_file(const std::string& out,
                                               const std::vector<Output>& outputs,
                                               const Receipt& receipt,
                                               const Circumstances& circumstances);
// Removes an OUT.receipt.json that tells of an earlier file of this name, after `out` was replaced
// without one.
void drop_receipt(const std::string& out);
// As receipt_file for the one file `out`, whose bytes are now under the name `written`.
std::unique_ptr<base::OutputFile> receipt_file(const std::string& out, const std::string& written,
                                               const Receipt& receipt, double seconds, int threads,
                                               const std::string& instruction_set);

}  // namespace karat::receipt
