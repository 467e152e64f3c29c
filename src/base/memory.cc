#include "base/memory.h"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <iterator>
#include <optional>
#include <string_view>

#include "base/text.h"

namespace karat::base {

namespace {

std::string text_of(const std::string& path) {
  std::ifstream in(path);
  return {std::istreambuf_iterator<char>(in), {}};
}

// The first whole number of a text; nothing if it begins with something else ("max").
std::optional<uint64_t> number_of(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc()) return std::nullopt;
  return value;
}

// Bytes that the group in this folder leaves; nothing if it sets no limit.
std::optional<uint64_t> group_leaves(const std::string& folder) {
  const std::string prefix = folder + "/memory.";
  const auto limit = number_of(text_of(prefix + "max"));
  const auto used = number_of(text_of(prefix + "current"));
  if (!limit || !used) return std::nullopt;
  // Pages of files that nobody needs now are counted as used, too.
  uint64_t cached = 0;
  const std::string stat = text_of(prefix + "stat");
  for (const char* key : {"inactive_file ", "active_file "}) {
    const size_t at = starts_with(stat, key) ? 0 : stat.find("\n" + std::string(key));
    if (at == std::string::npos) continue;
    cached += number_of(std::string_view(stat).substr(stat.find(' ', at))).value_or(0);
  }
  const uint64_t taken = *used - std::min(*used, cached);
  return *limit - std::min(*limit, taken);
}

}  // namespace

uint64_t available_memory(const std::string& meminfo, const std::string& cgroups,
                          const std::string& mount) {
  constexpr std::string_view kKey = "MemAvailable:";
  uint64_t bytes = UINT64_MAX;
  const size_t at = meminfo.find(kKey);
  if (at != std::string::npos) {
    const auto kib = number_of(std::string_view(meminfo).substr(at + kKey.size()));
    if (kib) bytes = *kib * 1024;
  }
  const size_t unified = cgroups.find("0::");  // the line of version 2
  if (unified == std::string::npos) return bytes;
  std::string group = cgroups.substr(unified + 3, cgroups.find('\n', unified) - unified - 3);
  for (;;) {  // every group above limits as well
    const auto left = group_leaves(mount + group);
    if (left) bytes = std::min(bytes, *left);
    const size_t slash = group.rfind('/');
    if (slash == std::string::npos) return bytes;
    group.resize(slash);
  }
}

uint64_t available_memory() {
  return available_memory(text_of("/proc/meminfo"), text_of("/proc/self/cgroup"), "/sys/fs/cgroup");
}

}  // namespace karat::base
