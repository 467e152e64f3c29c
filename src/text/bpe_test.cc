#include "text/bpe.h"

#include <gtest/gtest.h>

#include <map>

#include "text/tokenizer_testing.h"

namespace karat::text {
namespace {

std::vector<uint32_t> byte_ids() {
  std::vector<uint32_t> ids(256);
  for (uint32_t i = 0; i < 256; ++i) ids[i] = i;
  return ids;
}

std::vector<uint32_t> encode(const Bpe& bpe, std::string_view text) {
  std::vector<uint32_t> ids;
  bpe.encode(text, ids);
  return ids;
}

using Ids = std::vector<uint32_t>;

TEST(Bpe, Alphabet) {
  EXPECT_EQ(byte_to_alphabet('!'), "!");
  EXPECT_EQ(byte_to_alphabet(0), "\u0100");
  EXPECT_EQ(byte_to_alphabet('\n'), "\u010A");
  EXPECT_EQ(byte_to_alphabet(' '), "\u0120");
  EXPECT_EQ(byte_to_alphabet(127), "\u0121");
  EXPECT_EQ(byte_to_alphabet(160), "\u0142");
  EXPECT_EQ(byte_to_alphabet(161), "\u00A1");
  EXPECT_EQ(byte_to_alphabet(173), "\u0143");
  EXPECT_EQ(byte_to_alphabet(255), "\u00FF");
  for (int byte = 0; byte < 256; ++byte) {
    const auto value = static_cast<uint8_t>(byte);
    EXPECT_EQ(alphabet_to_bytes(byte_to_alphabet(value)), std::string(1, static_cast<char>(value)));
  }
  EXPECT_EQ(alphabet_to_bytes("\u0120the"), " the");
  EXPECT_EQ(alphabet_to_bytes("a b"), std::nullopt);  // the blank itself is not in it
  EXPECT_EQ(alphabet_to_bytes("\u0144"), std::nullopt);
  EXPECT_EQ(alphabet_to_bytes("\u5B57"), std::nullopt);
}

TEST(Bpe, RankDecidesThenThePlace) {
  // (b c) before (a b): "abc" is a, bc.
  const Bpe bpe(byte_ids(), std::vector<Merge>{{'b', 'c', 256}, {'a', 'b', 257}});
  EXPECT_EQ(encode(bpe, "abc"), (Ids{'a', 256}));
  EXPECT_EQ(encode(bpe, "abx"), (Ids{257, 'x'}));
  const Bpe pairs(byte_ids(), std::vector<Merge>{{'a', 'a', 256}, {256, 256, 257}});
  EXPECT_EQ(encode(pairs, "aaa"), (Ids{256, 'a'}));
  EXPECT_EQ(encode(pairs, "aaaaa"), (Ids{257, 'a'}));
  EXPECT_EQ(encode(pairs, "aaaaaa"), (Ids{257, 256}));
  EXPECT_EQ(encode(pairs, ""), Ids{});
  EXPECT_EQ(encode(pairs, "z"), Ids{'z'});
}

TEST(Bpe, AMergeCanMakeAnEarlierRuleApply) {
  // The product of the last rule is part of the first.
  const Bpe bpe(byte_ids(), std::vector<Merge>{{257, 'z', 256}, {'x', 'y', 257}});
  EXPECT_EQ(encode(bpe, "xyz"), (Ids{256}));
}

// The definition: look for the best rule over the whole piece, apply it at its leftmost place,
// repeat.
Ids by_definition(const std::vector<Merge>& merges, std::string_view text) {
  Ids ids;
  for (const char c : text) ids.push_back(static_cast<uint8_t>(c));
  while (true) {
    size_t best = merges.size(), at = 0;
    for (size_t i = 0; i + 1 < ids.size(); ++i) {
      for (size_t rank = 0; rank < best; ++rank) {
        if (merges[rank].left == ids[i] && merges[rank].right == ids[i + 1]) {
          best = rank;
          at = i;
        }
      }
    }
    if (best == merges.size()) return ids;
    ids[at] = merges[best].product;
    ids.erase(ids.begin() + static_cast<std::ptrdiff_t>(at) + 1);
  }
}

TEST(Bpe, EqualsTheDefinitionOnRandomRules) {
  base::Rng rng(5);
  for (int round = 0; round < 200; ++round) {
    std::vector<Merge> merges;
    std::map<std::pair<uint32_t, uint32_t>, bool> seen;
    Ids known = {'a', 'b', 'c'};
    for (uint32_t next = 256; next < 276; ++next) {
      const uint32_t left = known[rng.below(known.size())], right = known[rng.below(known.size())];
      if (seen[{left, right}]) continue;
      seen[{left, right}] = true;
      merges.push_back({left, right, next});
      known.push_back(next);
    }
    // Rules out of the order in which their parts arise, too.
    if (round % 2 == 1) std::swap(merges.front(), merges.back());
    const Bpe bpe(byte_ids(), merges);
    for (int i = 0; i < 20; ++i) {
      std::string text;
      for (size_t n = rng.below(40); n > 0; --n) text += "abc"[rng.below(3)];
      ASSERT_EQ(encode(bpe, text), by_definition(merges, text)) << text;
    }
  }
}

// A word of n bytes has n - 1 pairs, and each of the fewer than n merges brings two new ones.
TEST(Bpe, LooksAtAFewPairsPerByte) {
  const std::vector<Merge> merges = {
      {'a', 'a', 256}, {256, 256, 257}, {257, 257, 258}, {258, 258, 259}, {259, 259, 260}};
  const Bpe bpe(byte_ids(), merges);
  for (const size_t size : {size_t{1} << 16, size_t{1} << 20}) {
    Ids ids;
    const size_t looked_at = bpe.encode(std::string(size, 'a'), ids);
    EXPECT_EQ(ids.size(), size / 32);
    EXPECT_GE(looked_at, size - 1);
    EXPECT_LE(looked_at, 3 * size);
  }
}

}  // namespace
}  // namespace karat::text
