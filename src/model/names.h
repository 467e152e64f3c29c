// Canonical tensor names: GGUF's. One function per family of names, so that nobody spells them
// twice.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace karat::model {

inline constexpr std::string_view kTokenEmbd = "token_embd.weight";
inline constexpr std::string_view kOutputNorm = "output_norm.weight";
inline constexpr std::string_view kOutput = "output.weight";

// "blk.<layer>.<rest>", e.g. block_name(3, "attn_q.weight").
std::string block_name(int64_t layer, std::string_view rest);
// The layer of "blk.<n>....", or -1.
int64_t layer_of(std::string_view name);

}  // namespace karat::model
