// A TokenizerSpec in the numbers that BPE works with; the resolution is the check of the spec.
#pragma once

#include <string>
#include <vector>

#include "text/bpe.h"
#include "text/tokenizer_spec.h"

namespace karat::text {

// More than any known vocabulary by a factor of ten; keeps what a file can make us allocate
// bounded.
inline constexpr size_t kTokensMax = size_t{1} << 22;
inline constexpr size_t kMergesMax = size_t{1} << 22;
// The longest text of an added token; bounds the time that looking for them can take per character.
inline constexpr size_t kAddedBytesMax = 1024;

// How messages name the parts of a spec, e.g. "model.gguf: tokenizer.ggml.tokens".
struct SpecPlaces {
  std::string tokens = "tokens";
  std::string merges = "merges";
  std::string added = "added tokens";
};

struct BpeTables {
  std::vector<uint32_t> byte_ids;  // [256] the token of each byte
  std::vector<Merge> merges;       // best rank first
};

// Error{bad_input} for: too many tokens or merges; tokens that are empty, not UTF-8 or repeated; a
// byte without a token; merges that are not two tokens, whose parts or product are no tokens, or
// that repeat a pair; added tokens that are empty or too long.
BpeTables resolve(const TokenizerSpec& spec, const SpecPlaces& places = {});

// Adds to spec.end_ids, which may hold some already, the ends that follow from roles and texts, and
// brings it in order.
void add_end_ids(TokenizerSpec& spec);

}  // namespace karat::text
