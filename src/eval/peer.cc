#include "eval/peer.h"

#include "base/error.h"
#include "base/interrupt.h"
#include "base/json.h"
#include "base/process.h"
#include "base/text.h"

namespace karat::eval {

using base::ErrorKind;
using base::Json;

namespace {

// The last line that says something.
std::string last_line(std::string text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
  const size_t line = text.rfind('\n');
  return base::printable(line == std::string::npos ? text : text.substr(line + 1));
}

std::optional<Json> results(const std::string& printed) {
  for (size_t at = printed.find('['); at != std::string::npos; at = printed.find('[', at + 1)) {
    if (auto json = base::try_parse_json(std::string_view(printed).substr(at))) return json;
  }
  return std::nullopt;
}

}  // namespace

std::vector<std::string> peer_command(const PeerOptions& options, const SpeedTest& test) {
  const std::string prompt = std::to_string(test.prompt), generate = std::to_string(test.generate);
  std::vector<std::string> command = {options.program, "-m", options.model};
  if (test.prompt > 0 && test.generate > 0) {
    command.insert(command.end(), {"-p", "0", "-n", "0", "-pg", prompt + "," + generate});
  } else {
    command.insert(command.end(), {"-p", prompt, "-n", generate});
  }
  if (test.depth > 0) command.insert(command.end(), {"-d", std::to_string(test.depth)});
  command.insert(command.end(), {"-t", std::to_string(options.threads), "-r", "2", "-o", "json"});
  command.insert(command.end(), options.arguments.begin(), options.arguments.end());
  return command;
}

PeerSample parse_peer(const std::string& program, const std::string& printed) {
  const auto refuse = [&](const char* what) {
    return base::fail(ErrorKind::bad_input, "%s: its output is not llama-bench's JSON: %s",
                      base::printable(program).c_str(), what);
  };
  const std::optional<Json> json = results(printed);
  if (!json) throw refuse("no array");
  for (const Json& result : json->as_array()) {
    const Json* samples = result.is_object() ? result.find("samples_ns") : nullptr;
    if (samples == nullptr || !samples->is_array() || samples->as_array().empty()) continue;
    const Json& last = samples->as_array().back();
    if (!last.is_integer() || last.as_int() <= 0) throw refuse("samples_ns are not nanoseconds");
    const Json* build = result.find("build_commit");
    return {last.as_int(), build != nullptr && build->is_string() ? build->as_string() : ""};
  }
  throw refuse("no samples_ns");
}

PeerSample run_peer(const PeerOptions& options, const SpeedTest& test) {
  const base::ProcessResult result = base::run_process(peer_command(options, test));
  base::stop_if_interrupted();
  if (result.status != 0) {
    throw base::fail(ErrorKind::bad_input, "%s: failed with status %d: %s",
                     base::printable(options.program).c_str(), result.status,
                     last_line(result.err.empty() ? result.out : result.err).c_str());
  }
  return parse_peer(options.program, result.out);
}

}  // namespace karat::eval
