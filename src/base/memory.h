// How much memory there is.
#pragma once

#include <cstdint>
#include <string>

namespace karat::base {

// Bytes that this process may still take: what the machine says is available (its file caches
// count as such), or what the control groups that it is in leave, if that is less.
uint64_t available_memory();

// The same from the texts of the system's files, for tests: /proc/meminfo, /proc/self/cgroup, and
// the folder under which control groups are mounted.
uint64_t available_memory(const std::string& meminfo, const std::string& cgroups,
                          const std::string& mount);

}  // namespace karat::base
