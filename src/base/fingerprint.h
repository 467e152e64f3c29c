// What determines an output's bytes, so that an interrupted run is gone on with by the same command
// only.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace karat::base {

// Names and values, each one line. Two runs with equal fingerprints write equal bytes.
using Fingerprint = std::vector<std::pair<std::string, std::string>>;

// One line of JSON.
std::string fingerprint_text(const Fingerprint& fingerprint);

// The names whose values differ between two texts, separated by commas; "" if `theirs` is no
// fingerprint.
std::string fingerprint_differences(const std::string& theirs, const std::string& ours);

// Size, time of change and SHA-256 of the first MiB of a file: what tells that it is another one
// now. Errors as File's.
std::string file_state(const std::string& path);

}  // namespace karat::base
