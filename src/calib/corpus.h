// Text files -> one stream of token ids -> chunks, as llama-imatrix and llama-perplexity cut them;
// or whole sequences, each of its own length (calib/packet.h).
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "text/tokenizer.h"

namespace karat::calib {

struct Corpus {
  std::vector<int32_t> tokens;  // all files' tokens, one after the other
  int64_t chunk_size = 512;     // tokens per chunk
  int64_t chunks = 0;           // whole chunks (or sequences) used; a remainder is dropped
  // Where each sequence ends in `tokens`, [chunks], rising, each at least one token long; empty if
  // all are chunks of chunk_size.
  std::vector<int64_t> ends = {};

  // The first token of chunk i; of i == chunks: the number of tokens used.
  int64_t begin(int64_t i) const {
    if (ends.empty()) return i * chunk_size;
    return i == 0 ? 0 : ends[static_cast<size_t>(i - 1)];
  }
  // Tokens of chunk i.
  std::span<const int32_t> chunk(int64_t i) const {
    return std::span(tokens).subspan(static_cast<size_t>(begin(i)),
                                     static_cast<size_t>(begin(i + 1) - begin(i)));
  }
  int64_t tokens_used() const { return begin(chunks); }
  // Tokens of the longest chunk.
  int64_t longest() const {
    int64_t most = 0;
    for (int64_t i = 0; i < chunks; ++i) most = std::max(most, begin(i + 1) - begin(i));
    return most;
  }
  // Where each chunk ends, [chunks].
  std::vector<int64_t> all_ends() const {
    std::vector<int64_t> out;
    for (int64_t i = 1; i <= chunks; ++i) out.push_back(begin(i));
    return out;
  }
};

struct CorpusOptions {
  int64_t chunk_size = 512;
  int64_t chunks_max = -1;     // at most so many chunks; -1: all
  int64_t tokens_max = -1;     // at most so many tokens, rounded down to whole chunks; -1: all
  bool parse_special = false;  // "<|im_start|>" in a text is the token
};

// Each file is tokenized as a whole. Error{bad_input} naming the files if they give fewer than two
// chunks, and for a file that is not text (NUL bytes).
Corpus read_corpus(const std::vector<std::string>& files, const text::Tokenizer& tokenizer,
                   const CorpusOptions& options);

}  // namespace karat::calib
