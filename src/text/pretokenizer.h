// The first cut of a text, within whose pieces BPE works.
#pragma once

#include <string_view>
#include <vector>

namespace karat::text {

// Cuts well-formed UTF-8 into the successive matches of the regular expression `kPretokenizerRegex`
// (every text is covered without gaps), by a state machine in linear time.
inline constexpr std::string_view kPretokenizerRegex =
    R"re((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}|)re"
    R"re( ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)re";
std::vector<std::string_view> split(std::string_view text);

}  // namespace karat::text
