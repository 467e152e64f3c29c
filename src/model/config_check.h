// What every configuration must satisfy, whichever file it came from.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "model/config.h"

namespace karat::model {

// Bounds of what a configuration file may ask for. Far above every member of the family and far
// below what would make a product of two of them overflow.
inline constexpr int64_t kLayersMax = 1024;
inline constexpr int64_t kWidthMax = int64_t{1} << 20;  // hidden sizes, FFN widths
inline constexpr int64_t kHeadsMax = 4096;
inline constexpr int64_t kHeadDimMax = 8192;
inline constexpr int64_t kExpertsMax = 65536;
inline constexpr int64_t kVocabMax = int64_t{1} << 26;
inline constexpr int64_t kContextMax = int64_t{1} << 31;
inline constexpr int64_t kConvTapsMax = 64;

// How a file spells the keys that check_config() may have to complain about.
struct ConfigKeys {
  std::string_view heads, kv_heads, head_dim, rope_dims, rope_sections, experts, experts_used,
      key_heads, value_heads, hidden;
};
extern const ConfigKeys kHfKeys;
extern const ConfigKeys kGgufKeys;

// Relations between dimensions that are each in range: heads divide, experts_used <= experts,
// rotary dimensions fit the head and their sections add up. Error{bad_input} "WHERE: key ...".
void check_config(const Config& config, const ConfigKeys& keys, std::string_view where);

}  // namespace karat::model
