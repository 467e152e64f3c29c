// Input: the files of a checkpoint that have to do with tokens, separated by 0x1e in the order
// tokenizer.json, tokenizer_config.json, vocab.json, merges.txt, config.json,
// generation_config.json; an empty one is absent.
#include "text/tokenizer.h"

#include "fuzz/fuzz.h"

namespace {

std::optional<std::string> optional(std::string_view text) {
  if (text.empty()) return std::nullopt;
  return std::string(text);
}

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  karat::fuzz::accepted([&] {
    karat::fuzz::Parts parts(data, size);
    karat::text::HfTokenizerFiles files;
    files.folder = "input";
    for (auto* file : {&files.tokenizer_json, &files.tokenizer_config, &files.vocab_json,
                       &files.merges_txt, &files.config, &files.generation_config}) {
      *file = optional(parts.next());
    }
    const karat::text::Tokenizer tokenizer(karat::text::spec_from_hf(files));
    const std::string text = "The  <|im_end|>\n\xf0\x9f\x98\x80 1234 e\xcc\x81\xff";
    for (const bool parse_special : {false, true}) {
      const auto ids = tokenizer.encode(text, {.parse_special = parse_special});
      for (const uint32_t id : ids) CHECK(id < tokenizer.vocab_size());
      tokenizer.decode(ids, {.skip_special = true});
    }
  });
  return 0;
}
