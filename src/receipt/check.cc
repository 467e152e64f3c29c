#include "receipt/check.h"

#include <algorithm>
#include <charconv>
#include <filesystem>

#include "base/error.h"
#include "base/file.h"
#include "base/text.h"

namespace karat::receipt {

namespace {

using base::ErrorKind;
using base::Json;
using base::printable;
using base::strf;

constexpr uint64_t kReceiptBytesMax = 16 << 20;

std::vector<Input> parse_files(const Json& list) {
  std::vector<Input> files;
  for (const Json& item : list.as_array()) {
    files.push_back(
        {item.at("name").as_string(), item.at("bytes").as_uint(), item.at("sha256").as_string()});
  }
  return files;
}

bool is_hash(const std::string& text) {
  return text.size() == 64 && text.find_first_not_of("0123456789abcdef") == std::string::npos;
}

// What is wrong with `found`, a file that should be `expected`; "" if nothing.
std::string fault_of(const Input& expected, const Input& found) {
  const std::string name = printable(expected.name);
  if (!is_hash(expected.sha256)) {
    return strf("%s: the receipt has no full SHA-256 of it but '%s'", name.c_str(),
                printable(expected.sha256).c_str());
  }
  if (expected.bytes != found.bytes) {
    return strf("%s: has %llu bytes, the receipt says %llu", name.c_str(),
                static_cast<unsigned long long>(found.bytes),
                static_cast<unsigned long long>(expected.bytes));
  }
  if (expected.sha256 != found.sha256) {
    return strf("%s: has the SHA-256 %s, the receipt says %s", name.c_str(), found.sha256.c_str(),
                expected.sha256.c_str());
  }
  return "";
}

// A receipt is from anywhere: its names lead to nothing outside of the folder.
bool stays_below(const std::string& name) {
  const std::filesystem::path path = name;
  return !name.empty() && path.is_relative() &&
         std::none_of(path.begin(), path.end(), [](const std::filesystem::path& part) {
           return part.empty() || part == "." || part == "..";
         });
}

}  // namespace

ReceiptFile read_receipt(const std::string& path) {
  const Json json =
      base::parse_json(base::read_file(path, kReceiptBytesMax), {.name = printable(path)});
  ReceiptFile file;
  file.path = path;
  const Json* schema = json.find("schema");
  if (schema == nullptr || !(*schema == Json(1))) {
    throw base::fail(ErrorKind::bad_input, "%s: not a receipt of karat's (schema 1)",
                     printable(path).c_str());
  }
  file.version = json.at("version").as_string();
  file.receipt.verb = json.at("verb").as_string();
  file.receipt.inputs = parse_files(json.at("inputs"));
  file.receipt.options = json.at("options");
  for (const auto& [key, text] : json.at("notes").as_object()) {
    file.receipt.notes.emplace_back(key, text.as_string());
  }
  file.outputs = parse_files(json.at("outputs"));
  return file;
}

std::vector<Input> parse_inputs(const std::string& text) {
  std::vector<Input> inputs;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    const std::string line = text.substr(begin, end - begin);
    begin = end + 1;
    Input input;
    const size_t one = line.find(' '), two = line.find(' ', one + 1);
    const bool parts = one != std::string::npos && two != std::string::npos;
    const char* last = line.data() + (parts ? two : 0);
    const auto number = std::from_chars(line.data() + (parts ? one + 1 : 0), last, input.bytes);
    if (parts && number.ptr == last && number.ec == std::errc()) {
      input.sha256 = line.substr(0, one);
      input.name = line.substr(two + 1);
    } else {
      input.name = line;
    }
    inputs.push_back(std::move(input));
  }
  return inputs;
}

std::vector<std::string> check_outputs(const ReceiptFile& file,
                                       const std::vector<std::string>& paths,
                                       base::ThreadPool& pool) {
  std::vector<std::string> faults;
  const std::vector<Input> found = hash_inputs(paths, pool);
  if (found.size() != file.outputs.size()) {
    faults.push_back(
        strf("the receipt is of %zu files, here are %zu", file.outputs.size(), found.size()));
  }
  for (const Input& one : found) {
    const auto expected =
        std::find_if(file.outputs.begin(), file.outputs.end(),
                     [&](const Input& output) { return output.name == one.name; });
    if (expected == file.outputs.end()) {
      faults.push_back(
          strf("%s: the receipt is of %s", printable(one.name).c_str(),
               file.outputs.empty() ? "nothing" : printable(file.outputs.front().name).c_str()));
      continue;
    }
    const std::string fault = fault_of(*expected, one);
    if (!fault.empty()) faults.push_back(fault);
  }
  return faults;
}

std::vector<std::string> check_entries(
    const ReceiptFile& file, const std::vector<std::pair<std::string, std::string>>& entries) {
  std::vector<std::string> faults;
  for (auto& [key, value] : metadata_entries(file.receipt)) {
    const std::string& expected = key == "karat.version" ? file.version : value;
    const auto found =
        std::find_if(entries.begin(), entries.end(),
                     [&, name = key](const auto& entry) { return entry.first == name; });
    if (found != entries.end() && found->second == expected) continue;
    faults.push_back(strf("key '%s' is %s, by the receipt %s", key.c_str(),
                          found == entries.end() ? "absent" : printable(found->second, 80).c_str(),
                          printable(expected, 80).c_str()));
  }
  return faults;
}

InputCheck check_inputs(const std::vector<Input>& inputs, const std::string& folder,
                        base::ThreadPool& pool) {
  InputCheck check;
  std::vector<const Input*> expected;
  std::vector<std::string> paths;
  for (const Input& input : inputs) {
    const std::string path = folder + "/" + input.name;
    if (!stays_below(input.name) || !is_hash(input.sha256)) {
      check.faults.push_back(fault_of(input, {}));
    } else if (!base::file_exists(path) || base::is_directory(path)) {
      check.absent.push_back(input.name);
    } else {
      expected.push_back(&input);
      paths.push_back(path);
    }
  }
  const std::vector<Input> found = hash_inputs(paths, pool);
  for (size_t i = 0; i < found.size(); ++i) {
    const std::string fault = fault_of(*expected[i], found[i]);
    if (fault.empty()) {
      ++check.matching;
    } else {
      check.faults.push_back(fault);
    }
  }
  return check;
}

}  // namespace karat::receipt
