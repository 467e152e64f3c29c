// Byte-level byte-pair encoding: merges by rank within one piece of text.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace karat::text {

// GPT-2's printable alphabet for bytes: 33-126, 161-172 and 174-255 stand for themselves, the other
// 68 bytes, in rising order, for U+0100 and up.
std::string byte_to_alphabet(uint8_t byte);
// The bytes that `spelled` (UTF-8) stands for; nullopt if a character is not in the alphabet.
std::optional<std::string> alphabet_to_bytes(std::string_view spelled);

// left + right -> product.
struct Merge {
  uint32_t left = 0, right = 0, product = 0;
};

class Bpe {
 public:
  // `byte_ids` has the token of each of the 256 bytes, `merges` the rules, best rank first, no pair
  // twice.
  Bpe(std::span<const uint32_t> byte_ids, std::span<const Merge> merges);

  // Appends the tokens of one piece of at most 2^32 - 2 bytes (Error{bad_input}): the rule of best
  // rank is applied at its leftmost place until none applies (Sennrich et al., ACL 2016). n log n
  // in its bytes. Returns the number of candidate pairs looked at, a measure of work.
  size_t encode(std::string_view bytes, std::vector<uint32_t>& out) const;

 private:
  struct Rule {
    uint32_t right, rank, product;
  };
  const Rule* find(uint32_t left, uint32_t right) const;

  std::vector<uint32_t> byte_ids_;
  std::vector<uint32_t> first_;  // [left] start of its rules in rules_, one more entry than tokens
  std::vector<Rule> rules_;      // by left, then right
};

}  // namespace karat::text
