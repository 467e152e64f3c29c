// Token ids to text, all at once or one by one while a reply is being generated.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "text/unicode.h"

namespace karat::text {

class Tokenizer;

struct DecodeOptions {
  bool skip_special = false;  // leave out added tokens marked special
};

// Decodes a stream of tokens. Bytes that may still become a character are held back; bytes that
// cannot are replaced by U+FFFD, one for each maximal subpart (Unicode, chapter 3, "U+FFFD
// Substitution of Maximal Subparts"). The concatenation of all results equals Tokenizer::decode of
// the whole.
class IncrementalDecoder {
 public:
  // `tokenizer` must outlive the decoder.
  explicit IncrementalDecoder(const Tokenizer& tokenizer, DecodeOptions options = {})
      : tokenizer_(&tokenizer), options_(options) {}

  // The text that became final with this token, possibly empty. Error{bad_input} if the id is not
  // below the vocabulary's size.
  std::string push(uint32_t id);
  // The rest at the end of the stream: U+FFFD if a character was cut, else empty. The decoder is
  // then as new.
  std::string flush();

 private:
  const Tokenizer* tokenizer_;
  DecodeOptions options_;
  Utf8Repair repair_;
};

}  // namespace karat::text
