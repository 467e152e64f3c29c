// A calibration packet: token sequences, each of its own length and domain (docs/FORMATS.md,
// section 10).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/file.h"
#include "calib/corpus.h"
#include "text/tokenizer.h"

namespace karat::calib {

struct Packet {
  std::vector<int32_t> tokens;   // all sequences, one after the other
  std::vector<int64_t> ends;     // [sequences]: where each ends in `tokens`; rising
  std::vector<int32_t> domains;  // [sequences]: index into domain_names
  std::vector<std::string> domain_names;
  std::string tokenizer;  // tokenizer_hash() of what made the ids

  std::span<const int32_t> sequence(size_t i) const {
    const int64_t begin = i == 0 ? 0 : ends[i - 1];
    return std::span(tokens).subspan(static_cast<size_t>(begin),
                                     static_cast<size_t>(ends[i] - begin));
  }
};

// SHA-256 of everything that decides ids: tokens, their types, merges, added tokens.
std::string tokenizer_hash(const text::TokenizerSpec& spec);

// A safetensors file, which the caller commits; the bytes depend on nothing but the packet.
void write_packet(base::OutputFile& file, const Packet& packet);
// A corpus as a packet of one domain, "text".
Packet packet_of(const Corpus& corpus, const text::TokenizerSpec& tokenizer);
// True if the file begins as a packet does; a folder, or nothing there, is none. Errors as
// base::File's for a file that cannot be read.
bool is_packet(const std::string& path);
// Error{bad_input} naming the file: not a packet, or its parts contradict each other.
Packet read_packet(const std::string& path);

struct PacketChoice {
  int64_t tokens = -1;  // exactly so many, a seeded choice of sequences; -1: all
  uint64_t seed = 0;
};
// The packet's sequences as a corpus. A choice takes whole sequences and cuts one if no set of them
// has just so many tokens. `chunk_size` is what the statistics will name as the size of a chunk.
// Error{bad_input} if the ids are another tokenizer's, Error{usage} if the packet has fewer tokens.
Corpus corpus_of(const Packet& packet, const std::string& path,
                 const text::TokenizerSpec& tokenizer, const PacketChoice& choice,
                 int64_t chunk_size);

}  // namespace karat::calib
