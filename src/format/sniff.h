// What a file of the wrong kind looks like, for error messages.
#pragma once

#include <cstddef>
#include <span>
#include <string>

namespace karat::format {

// The number of leading bytes look_of() wants to see; fewer are fine.
inline constexpr size_t kSniffBytes = 512;

// What the first bytes of a file suggest, as a phrase with its remedy where one is known ("a
// Git-LFS pointer, not the file itself; run 'git lfs pull'"), or "" if they look like nothing
// known.
std::string look_of(std::span<const std::byte> head);

// True for the start of an imatrix of the old .dat layout, which has no magic number: a count of
// entries, then a length and the name of a weight.
bool is_imatrix_dat(std::span<const std::byte> head);

}  // namespace karat::format
