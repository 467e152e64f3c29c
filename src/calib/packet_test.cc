#include "calib/packet.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "base/file.h"
#include "format/safetensors.h"
#include "model/open.h"
#include "support/files.h"
#include "support/shared.h"

namespace karat::calib {
namespace {

const text::TokenizerSpec& spec() {
  static const model::OpenedModel opened = model::open_model(test::fixture("tiny-random"));
  return *opened.tokenizer;
}

// `count` sequences of 1, 2, 3, ... tokens, each token the number of its sequence.
Packet packet_of(int32_t count) {
  Packet packet;
  packet.domain_names = {"a", "b \"quoted\""};
  packet.tokenizer = tokenizer_hash(spec());
  for (int32_t i = 1; i <= count; ++i) {
    packet.tokens.insert(packet.tokens.end(), static_cast<size_t>(i), i);
    packet.ends.push_back(static_cast<int64_t>(packet.tokens.size()));
    packet.domains.push_back(i % 2);
  }
  return packet;
}

void write(const std::string& path, const Packet& packet) {
  base::OutputFile file(path);
  write_packet(file, packet);
  file.commit();
}

std::string error_of(const std::string& path) {
  try {
    read_packet(path);
  } catch (const base::Error& error) {
    EXPECT_EQ(error.kind(), base::ErrorKind::bad_input);
    return error.what();
  }
  return "";
}

TEST(Packet, IsReadAsItWasWritten) {
  const test::TempDir folder;
  const Packet packet = packet_of(5);
  write(folder.path("p"), packet);
  EXPECT_TRUE(is_packet(folder.path("p")));
  const Packet read = read_packet(folder.path("p"));
  EXPECT_EQ(read.tokens, packet.tokens);
  EXPECT_EQ(read.ends, packet.ends);
  EXPECT_EQ(read.domains, packet.domains);
  EXPECT_EQ(read.domain_names, packet.domain_names);
  EXPECT_EQ(read.tokenizer, packet.tokenizer);
  EXPECT_EQ(read.sequence(2).size(), 3u);
  EXPECT_EQ(read.sequence(2)[0], 3);
}

TEST(Packet, OtherFilesAreNone) {
  const test::TempDir folder;
  EXPECT_FALSE(is_packet(folder.write("t", "plain text")));
  EXPECT_FALSE(is_packet(folder.write("e", "")));
  EXPECT_FALSE(is_packet(folder.path("none")));
  EXPECT_FALSE(is_packet(folder.path()));
  format::write_safetensors(folder.path("s"), {}, {{"format", "pt"}});
  EXPECT_FALSE(is_packet(folder.path("s")));
  EXPECT_NE(error_of(folder.path("s")).find("not a calibration packet"), std::string::npos);
}

TEST(Packet, ContradictionsAreRefused) {
  const test::TempDir folder;
  const auto broken = [&](auto&& change) {
    Packet packet = packet_of(3);
    change(packet);
    write(folder.path("p"), packet);
    return error_of(folder.path("p"));
  };
  EXPECT_NE(broken([](Packet& p) { p.tokens.push_back(1); }), "");
  EXPECT_NE(broken([](Packet& p) { p.ends[1] = 1; }), "");
  EXPECT_NE(broken([](Packet& p) { p.ends[0] = -1; }), "");
  EXPECT_NE(broken([](Packet& p) { p.domains[1] = 2; }), "");
  EXPECT_NE(broken([](Packet& p) { p.domains.pop_back(); }), "");
  EXPECT_NE(broken([](Packet& p) { p = Packet{}; }), "");
  EXPECT_EQ(broken([](Packet&) {}), "");
}

TEST(Packet, DomainNamesThatAreNoneNameTheFile) {
  const test::TempDir folder;
  write(folder.path("p"), packet_of(2));
  const std::string bytes = test::read_bytes(folder.path("p"));
  const std::string names = R"([\"a\", \"b \\\"quoted\\\"\"])";
  const size_t at = bytes.find(names);
  ASSERT_NE(at, std::string::npos);
  for (const std::string other : {"7", "[\\\"a\\\", 7]", "["}) {
    std::string changed = bytes;
    changed.replace(at, names.size(), other + std::string(names.size() - other.size(), ' '));
    EXPECT_EQ(error_of(folder.write("bad", changed)).substr(0, folder.path("bad").size()),
              folder.path("bad"));
  }
}

TEST(Packet, EveryPrefixIsRefused) {
  const test::TempDir folder;
  write(folder.path("p"), packet_of(4));
  const std::string bytes = test::read_bytes(folder.path("p"));
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_NE(error_of(folder.write("cut", bytes.substr(0, size))), "") << size;
  }
}

TEST(Packet, AsACorpusKeepsSequences) {
  const Packet packet = packet_of(6);
  const Corpus corpus = corpus_of(packet, "p", spec(), {}, 512);
  EXPECT_EQ(corpus.chunks, 6);
  EXPECT_EQ(corpus.chunk(5).size(), 6u);
  EXPECT_EQ(corpus.tokens, packet.tokens);
  EXPECT_EQ(corpus.chunk_size, 512);
}

TEST(Packet, ChoosesExactlySoManyTokensBySeed) {
  const Packet packet = packet_of(60);
  std::vector<std::vector<int32_t>> seen;
  for (const uint64_t seed : {1, 1, 2}) {
    const Corpus corpus = corpus_of(packet, "p", spec(), {.tokens = 1000, .seed = seed}, 512);
    EXPECT_EQ(corpus.tokens_used(), 1000);
    for (int64_t i = 0; i < corpus.chunks; ++i) {  // whole, and in the packet's order
      EXPECT_EQ(static_cast<int32_t>(corpus.chunk(i).size()), corpus.chunk(i)[0]);
      EXPECT_TRUE(i == 0 || corpus.chunk(i - 1)[0] < corpus.chunk(i)[0]);
    }
    seen.push_back(corpus.tokens);
  }
  EXPECT_EQ(seen[0], seen[1]);
  EXPECT_NE(seen[0], seen[2]);
}

TEST(Packet, CutsOneSequenceIfTheyDoNotAddUp) {
  Packet packet = packet_of(1);
  packet.tokens.assign(40, 7);
  packet.ends = {20, 40};
  packet.domains = {0, 1};
  const Corpus corpus = corpus_of(packet, "p", spec(), {.tokens = 29}, 512);
  EXPECT_EQ(corpus.tokens_used(), 29);
  EXPECT_EQ(corpus.chunks, 2);
}

TEST(Packet, OfAnotherTokenizerOrTooSmallIsRefused) {
  Packet packet = packet_of(3);
  try {
    corpus_of(packet, "p.packet", spec(), {.tokens = 7}, 512);
    FAIL();
  } catch (const base::Error& error) {
    EXPECT_EQ(error.kind(), base::ErrorKind::usage);
    EXPECT_STREQ(error.what(), "p.packet: has 6 tokens, 7 cannot be chosen");
  }
  packet.tokenizer[0] = 'x';
  EXPECT_THROW(corpus_of(packet, "p", spec(), {}, 512), base::Error);
}

TEST(TokenizerHash, TellsTokenizersApart) {
  text::TokenizerSpec other = spec();
  EXPECT_EQ(tokenizer_hash(other), tokenizer_hash(spec()));
  std::swap(other.tokens[0], other.tokens[1]);
  EXPECT_NE(tokenizer_hash(other), tokenizer_hash(spec()));
}

}  // namespace
}  // namespace karat::calib
