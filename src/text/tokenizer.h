// Text to token ids and back: byte-level BPE with the pre-tokenizer of the Qwen3.5/3.6 family,
// equal to the `tokenizers` library for every text.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "text/detokenizer.h"
#include "text/text_span.h"
#include "text/tokenizer_spec.h"

namespace karat::text {

struct EncodeOptions {
  // Whether the text of an added token ("<|im_start|>") becomes that token. Off, such text is
  // ordinary text, and no input can produce the id of an added token.
  bool parse_special = false;
  // With parse_special: parts of the text, rising and disjoint, in which (even in part) no added
  // token is found. For prompts that carry text of users: the text tokenizes in its context, yet is
  // only text.
  std::span<const TextSpan> ordinary = {};
};

// Immutable after construction, so all calls are thread-safe.
class Tokenizer {
 public:
  // `spec` must come from one of its makers (they check it).
  explicit Tokenizer(TokenizerSpec spec);
  ~Tokenizer();
  Tokenizer(Tokenizer&& other) noexcept;
  Tokenizer& operator=(Tokenizer&& other) noexcept;

  const TokenizerSpec& spec() const;
  // Rows of the embedding, padding rows included.
  size_t vocab_size() const { return spec().tokens.size(); }

  // The ids of `text`. Nothing is put in front or behind. Malformed UTF-8 counts as U+FFFD per
  // maximal subpart. Time near-linear in the text.
  std::vector<uint32_t> encode(std::string_view text, const EncodeOptions& options = {}) const;

  // The text of the ids; ill-formed UTF-8 becomes U+FFFD, padding rows are empty. Error{bad_input}
  // if an id is not below vocab_size().
  std::string decode(std::span<const uint32_t> ids, DecodeOptions options = {}) const;

  // The bytes that a token stands for; not always whole characters. Same error.
  std::string_view token_bytes(uint32_t id) const;
  // The same as text for reports: ill-formed UTF-8 as U+FFFD, padding rows by their name.
  std::string token_text(uint32_t id) const;

  // The added token with that content.
  std::optional<uint32_t> added_id(std::string_view content) const;
  bool is_special(uint32_t id) const;  // an added token marked special
  bool is_end(uint32_t id) const;      // one of spec().end_ids

 private:
  struct State;
  std::unique_ptr<const State> state_;
};

}  // namespace karat::text
