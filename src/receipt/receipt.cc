#include "receipt/receipt.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <fstream>

#include "base/file.h"
#include "base/hash.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "base/text.h"

namespace karat::receipt {

namespace {

std::string host_name() {
  std::array<char, 256> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "unknown";
}

int64_t peak_memory_bytes() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return int64_t{usage.ru_maxrss} * 1024;
}

// Which build this is: the hash of the program's own file.
std::string program_hash() {
  const std::string path = "/proc/self/exe";
  return base::file_exists(path) ? base::sha256_of_file(path) : "unknown";
}

base::Json machine_json(const Circumstances& circumstances) {
  base::Json json = base::Json::object();
  json.set("host", host_name());
  json.set("processor", processor());
  json.set("instruction_set", circumstances.instruction_set);
  return json;
}

base::Json build_json() {
  base::Json json = base::Json::object();
  json.set("compiler", __VERSION__);
  json.set("sha256", program_hash());
  return json;
}

base::Json input_json(const Input& input) {
  base::Json json = base::Json::object();
  json.set("name", input.name);
  json.set("bytes", input.bytes);
  json.set("sha256", input.sha256);
  return json;
}

// The SHA-256 of a file so far.
struct FileHash {
  std::string path;
  uint64_t bytes = 0, hashed = 0;
  base::Sha256 hash = {};

  // Hashes at most `count` more bytes, fewer if a signal is pending; returns how many.
  uint64_t advance(uint64_t count, base::Progress* progress) {
    const base::File file(path);
    std::vector<std::byte> buffer(size_t{1} << 20);
    const uint64_t end = hashed + std::min(count, bytes - hashed), begin = hashed;
    while (hashed < end && base::pending_signal() == 0) {
      const auto part = std::span(buffer).first(std::min<uint64_t>(buffer.size(), end - hashed));
      file.read_at(hashed, part);
      hash.update(part);
      hashed += part.size();
      if (progress != nullptr) progress->add(static_cast<double>(part.size()), path);
    }
    return hashed - begin;
  }
};

std::vector<Input> hash_outputs(std::vector<Output> outputs) {
  double total = 0;
  for (Output& output : outputs) {
    if (output.bytes == 0) output.bytes = base::File(output.written).size();
    total += static_cast<double>(output.bytes);
  }
  std::vector<Input> hashed;
  base::Progress progress("hash", "bytes", total);
  for (const Output& output : outputs) {
    FileHash hash{output.written, output.bytes};
    hash.advance(output.bytes, &progress);
    base::stop_if_interrupted();
    hashed.push_back({base::file_name(output.path), output.bytes, hash.hash.hex()});
  }
  return hashed;
}

}  // namespace

std::string processor() {
  std::ifstream in("/proc/cpuinfo");
  for (std::string line; std::getline(in, line);) {
    const size_t colon = line.find(": ");
    if (base::starts_with(line, "model name") && colon != std::string::npos) {
      return line.substr(colon + 2);
    }
  }
  return "unknown";
}

struct InputHasher::File : FileHash {};

InputHasher::InputHasher(const std::vector<std::string>& paths) {
  for (const std::string& path : paths) {
    files_.push_back(std::make_unique<File>());
    files_.back()->path = path;
    files_.back()->bytes = base::File(path).size();
    bytes_ += files_.back()->bytes;
  }
}

InputHasher::~InputHasher() = default;

void InputHasher::advance(double share) {
  const std::unique_lock lock(mutex_, std::try_to_lock);
  if (!lock.owns_lock()) return;
  const auto goal = static_cast<uint64_t>(std::min(share, 1.0) * static_cast<double>(bytes_));
  for (const auto& file : files_) {
    if (hashed_ >= goal) return;
    hashed_ += file->advance(goal - hashed_, nullptr);
  }
}

std::vector<Input> InputHasher::finish(base::ThreadPool& pool) {
  const std::unique_lock lock(mutex_);
  std::vector<Input> inputs(files_.size());
  base::Progress progress("hash", "bytes", static_cast<double>(bytes_ - hashed_));
  pool.for_each(static_cast<int64_t>(files_.size()), [&](int64_t index, int) {
    File& file = *files_[static_cast<size_t>(index)];
    file.advance(file.bytes, &progress);
    base::stop_if_interrupted();
    inputs[static_cast<size_t>(index)] = {base::file_name(file.path), file.bytes, file.hash.hex()};
  });
  return inputs;
}

std::vector<Input> hash_inputs(const std::vector<std::string>& paths, base::ThreadPool& pool) {
  return InputHasher(paths).finish(pool);
}

std::vector<std::pair<std::string, std::string>> metadata_entries(const Receipt& receipt) {
  std::string inputs;
  for (const Input& input : receipt.inputs) {
    inputs += (inputs.empty() ? "" : "\n") + input.sha256 + " " + std::to_string(input.bytes) +
              " " + base::printable(input.name);
  }
  std::vector<std::pair<std::string, std::string>> entries = {
      {"karat.version", kVersion},
      {"karat.verb", receipt.verb},
      {"karat.inputs", inputs},
      {"karat.options", receipt.options.dump()}};
  std::string notes;
  for (const auto& [key, text] : receipt.notes) {
    notes += (notes.empty() ? "" : "\n") + key + ": " + text;
  }
  if (!notes.empty()) entries.emplace_back("karat.notes", notes);
  return entries;
}

std::unique_ptr<base::OutputFile> receipt_file(const std::string& out,
                                               const std::vector<Output>& outputs,
                                               const Receipt& receipt,
                                               const Circumstances& circumstances) {
  base::Json json = base::Json::object();
  json.set("schema", 1);
  json.set("version", kVersion);
  json.set("verb", receipt.verb);
  base::Json inputs = base::Json::array(), files = base::Json::array();
  for (const Input& input : receipt.inputs) inputs.push(input_json(input));
  json.set("inputs", std::move(inputs));
  json.set("options", receipt.options);
  base::Json notes = base::Json::object();
  for (const auto& [key, text] : receipt.notes) notes.set(key, text);
  json.set("notes", std::move(notes));
  for (const Input& output : hash_outputs(outputs)) files.push(input_json(output));
  json.set("outputs", std::move(files));
  json.set("seconds", circumstances.seconds);
  json.set("threads", circumstances.threads);
  json.set("peak_memory_bytes", peak_memory_bytes());
  json.set("machine", machine_json(circumstances));
  json.set("build", build_json());
  auto file = std::make_unique<base::OutputFile>(out + ".receipt.json");
  file->append(json.dump(2) + "\n");
  file->sync();
  return file;
}

void drop_receipt(const std::string& out) { ::unlink((out + ".receipt.json").c_str()); }

std::unique_ptr<base::OutputFile> receipt_file(const std::string& out, const std::string& written,
                                               const Receipt& receipt, double seconds, int threads,
                                               const std::string& instruction_set) {
  return receipt_file(out, {{out, written}}, receipt, {seconds, threads, instruction_set});
}

}  // namespace karat::receipt
