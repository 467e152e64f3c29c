#include "receipt/receipt.h"

#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <fstream>

#include "base/file.h"
#include "base/hash.h"
#include "base/text.h"

namespace karat::receipt {

namespace {

std::string host_name() {
  std::array<char, 256> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "unknown";
}

// The processor's name for itself, or "unknown" where the kernel does not say.
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

}  // namespace

std::vector<Input> hash_inputs(const std::vector<std::string>& paths, base::ThreadPool& pool) {
  std::vector<Input> inputs(paths.size());
  pool.for_each(static_cast<int64_t>(paths.size()), [&](int64_t index, int) {
    const std::string& path = paths[static_cast<size_t>(index)];
    const uint64_t bytes = base::File(path).size();
    inputs[static_cast<size_t>(index)] = {base::file_name(path), bytes, base::sha256_of_file(path)};
  });
  return inputs;
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
  for (const Output& output : outputs) {
    files.push(input_json({base::file_name(output.path), base::File(output.written).size(),
                           base::sha256_of_file(output.written)}));
  }
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

std::unique_ptr<base::OutputFile> receipt_file(const std::string& out, const std::string& written,
                                               const Receipt& receipt, double seconds, int threads,
                                               const std::string& instruction_set) {
  return receipt_file(out, {{out, written}}, receipt, {seconds, threads, instruction_set});
}

}  // namespace karat::receipt
