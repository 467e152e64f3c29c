// Data that may not be copied into the repository lies in a folder beside it; tests that need it
// skip where it is absent.
#pragma once

#include <filesystem>
#include <string>

namespace karat::test {

// The path of a file in the data folder beside the repository, or "" if it is not there.
inline std::string shared_file(const std::string& name) {
  for (const char* up : {"/../shared/", "/../../shared/"}) {
    const std::string path = std::string(KARAT_ROOT) + up + name;
    if (std::filesystem::exists(path)) return path;
  }
  return "";
}

inline std::string fixture(const std::string& name) {
  return std::string(KARAT_ROOT) + "/tests/fixtures/" + name;
}

}  // namespace karat::test
