// Input: bytes taken as ids of a small vocabulary, as text, and as where both are cut. Streaming
// gives what decoding at once gives, and text comes back from its tokens.
#include "text/detokenizer.h"

#include <vector>

#include "fuzz/fuzz.h"
#include "text/tokenizer.h"
#include "text/tokenizer_testing.h"
#include "text/unicode.h"

namespace {

using karat::text::DecodeOptions;
using karat::text::Tokenizer;

void check_stream(const Tokenizer& tokenizer, const std::vector<uint32_t>& ids,
                  DecodeOptions options) {
  karat::text::IncrementalDecoder decoder(tokenizer, options);
  std::string streamed;
  for (const uint32_t id : ids) {
    const std::string piece = decoder.push(id);
    CHECK(karat::base::is_utf8(piece));
    streamed += piece;
  }
  streamed += decoder.flush();
  CHECK(streamed == tokenizer.decode(ids, options));
}

void check_repair(std::string_view bytes) {
  const std::string whole = karat::text::repair_utf8(bytes);
  CHECK(karat::base::is_utf8(whole));
  CHECK(!karat::base::is_utf8(bytes) || whole == bytes);
  karat::text::Utf8Repair repair;
  std::string pieces;
  for (size_t at = 0; at < bytes.size();) {
    const size_t length = 1 + static_cast<uint8_t>(bytes[at]) % 5;
    repair.push(bytes.substr(at, length), pieces);
    at += length;
  }
  repair.flush(pieces);
  CHECK(pieces == whole);
}

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Tokenizer tokenizer(karat::text::spec_from_gguf(karat::text::small_gguf()));
  const std::string_view text = karat::fuzz::text_of(data, size);
  check_repair(text);
  std::vector<uint32_t> ids;
  for (size_t i = 0; i < size; ++i) {
    // Ids beyond 255 by an escape, so that bytes of text are the ids of those bytes.
    const bool escape = data[i] == 0x1e && i + 1 < size;
    const uint32_t id = escape ? 256u + data[++i] : data[i];
    ids.push_back(id % static_cast<uint32_t>(tokenizer.vocab_size()));
  }
  check_stream(tokenizer, ids, {});
  check_stream(tokenizer, ids, {.skip_special = true});
  const std::string normal = karat::text::nfc(karat::text::repair_utf8(text));
  CHECK(tokenizer.decode(tokenizer.encode(text)) == normal);
  CHECK(karat::text::nfc(normal) == normal);
  tokenizer.decode(tokenizer.encode(text, {.parse_special = true}));
  return 0;
}
