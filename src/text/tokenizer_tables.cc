#include "text/tokenizer_tables.h"

#include <optional>
#include <string_view>
#include <unordered_map>
#include <unordered_set>

#include "base/error.h"
#include "base/text.h"

namespace karat::text {

using base::ErrorKind;
using base::fail;
using base::printable;

namespace {

using Index = std::unordered_map<std::string_view, uint32_t>;

Index index_tokens(const TokenizerSpec& spec, const std::string& place) {
  Index index;
  index.reserve(spec.tokens.size());
  for (uint32_t id = 0; id < spec.tokens.size(); ++id) {
    if (spec.types[id] == TokenType::unused) continue;
    const std::string& token = spec.tokens[id];
    if (token.empty()) throw fail(ErrorKind::bad_input, "%s[%u] is empty", place.c_str(), id);
    if (!base::is_utf8(token)) {
      throw fail(ErrorKind::bad_input, "%s[%u]: '%s' is not UTF-8", place.c_str(), id,
                 printable(token).c_str());
    }
    const auto [entry, is_new] = index.emplace(token, id);
    if (!is_new) {
      throw fail(ErrorKind::bad_input, "%s[%u]: '%s' is already token %u", place.c_str(), id,
                 printable(token).c_str(), entry->second);
    }
  }
  return index;
}

std::vector<uint32_t> find_bytes(const Index& index, const std::string& place) {
  std::vector<uint32_t> ids(256);
  for (unsigned byte = 0; byte < 256; ++byte) {
    const auto entry = index.find(byte_to_alphabet(static_cast<uint8_t>(byte)));
    if (entry == index.end()) {
      throw fail(ErrorKind::bad_input,
                 "%s: no token for the byte 0x%02X; a byte-level vocabulary has "
                 "one for each of the 256",
                 place.c_str(), byte);
    }
    ids[byte] = entry->second;
  }
  return ids;
}

uint32_t find_part(const Index& index, std::string_view text, const std::string& place,
                   size_t rank) {
  const auto entry = index.find(text);
  if (entry == index.end()) {
    throw fail(ErrorKind::bad_input, "%s[%zu]: '%s' is not in the vocabulary", place.c_str(), rank,
               printable(text).c_str());
  }
  return entry->second;
}

Merge resolve_merge(const Index& index, const std::string& rule, const std::string& place,
                    size_t rank) {
  const size_t blank = rule.find(' ');
  if (blank == std::string::npos || rule.find(' ', blank + 1) != std::string::npos) {
    throw fail(ErrorKind::bad_input, "%s[%zu]: '%s' is not two tokens with a blank between",
               place.c_str(), rank, printable(rule).c_str());
  }
  const std::string_view left = std::string_view(rule).substr(0, blank);
  const std::string_view right = std::string_view(rule).substr(blank + 1);
  return {find_part(index, left, place, rank), find_part(index, right, place, rank),
          find_part(index, std::string(left) + std::string(right), place, rank)};
}

void check_sizes(const TokenizerSpec& spec, const SpecPlaces& places) {
  CHECK(spec.tokens.size() == spec.types.size());
  if (spec.tokens.size() > kTokensMax) {
    throw fail(ErrorKind::bad_input, "%s: %zu entries; at most %zu are possible",
               places.tokens.c_str(), spec.tokens.size(), kTokensMax);
  }
  if (spec.merges.size() > kMergesMax) {
    throw fail(ErrorKind::bad_input, "%s: %zu entries; at most %zu are possible",
               places.merges.c_str(), spec.merges.size(), kMergesMax);
  }
  for (const AddedToken& token : spec.added) {
    if (token.content.empty() || token.content.size() > kAddedBytesMax) {
      throw fail(ErrorKind::bad_input,
                 "%s: the text of token %u has %zu bytes; 1 to %zu are possible",
                 places.added.c_str(), token.id, token.content.size(), kAddedBytesMax);
    }
  }
}

}  // namespace

BpeTables resolve(const TokenizerSpec& spec, const SpecPlaces& places) {
  check_sizes(spec, places);
  const Index index = index_tokens(spec, places.tokens);
  BpeTables tables;
  tables.byte_ids = find_bytes(index, places.tokens);
  tables.merges.reserve(spec.merges.size());
  std::unordered_set<std::string_view> seen;
  seen.reserve(spec.merges.size());
  for (size_t rank = 0; rank < spec.merges.size(); ++rank) {
    const std::string& rule = spec.merges[rank];
    tables.merges.push_back(resolve_merge(index, rule, places.merges, rank));
    if (!seen.insert(rule).second) {
      throw fail(ErrorKind::bad_input, "%s[%zu]: '%s' is there twice", places.merges.c_str(), rank,
                 printable(rule).c_str());
    }
  }
  return tables;
}

}  // namespace karat::text
