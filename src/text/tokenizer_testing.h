// What the tests of the tokenizer share: a small vocabulary of their own and the fixtures.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/file.h"
#include "base/json.h"
#include "base/rng.h"
#include "text/bpe.h"
#include "text/tokenizer_spec.h"
#include "text/unicode.h"

namespace karat::text {

inline std::string fixture(const std::string& name) {
  return std::string(KARAT_ROOT) + "/tests/fixtures/" + name;
}

// A path of the reference data beside the repository; nullopt if it is not there.
inline std::optional<std::string> shared_path(const std::string& name) {
  for (const char* up : {"/../shared/", "/../../shared/"}) {
    const std::string path = std::string(KARAT_ROOT) + up + name;
    if (base::file_exists(path) || base::is_directory(path)) return path;
  }
  return std::nullopt;
}

// Text in the byte alphabet.
inline std::string spell(std::string_view bytes) {
  std::string out;
  for (const char c : bytes) out += byte_to_alphabet(static_cast<uint8_t>(c));
  return out;
}

// Ids 0 to 255 are the bytes in the order of their values, then come the merge products by rank,
// then
// <|endoftext|> <|im_start|> <|im_end|> (control), <think> (user-defined), and two rows of padding.
// `merges` are pairs of plain texts.
inline GgufTokenizer small_gguf(std::initializer_list<std::pair<const char*, const char*>> merges) {
  GgufTokenizer gguf{"small.gguf", "gpt2", "qwen35", {}, {}, {}, {}, false, std::nullopt};
  for (int byte = 0; byte < 256; ++byte) {
    gguf.tokens.push_back(byte_to_alphabet(static_cast<uint8_t>(byte)));
  }
  for (const auto& [left, right] : merges) {
    gguf.merges.push_back(spell(left) + " " + spell(right));
    gguf.tokens.push_back(spell(left) + spell(right));
  }
  gguf.types.assign(gguf.tokens.size(), 1);
  const auto base = static_cast<uint32_t>(gguf.tokens.size());
  for (const char* added : {"<|endoftext|>", "<|im_start|>", "<|im_end|>", "<think>"}) {
    gguf.tokens.push_back(added);
    gguf.types.push_back(added[1] == '|' ? 3 : 4);
  }
  for (int i = 0; i < 2; ++i) {
    gguf.tokens.push_back("[PAD" + std::to_string(gguf.tokens.size()) + "]");
    gguf.types.push_back(5);
  }
  gguf.special_ids = {{"eos", base + 2}, {"padding", base}};
  return gguf;
}

inline GgufTokenizer small_gguf() {
  return small_gguf({{"t", "h"},
                     {"th", "e"},
                     {" ", "the"},
                     {"i", "n"},
                     {" ", " "},
                     {"\xC3", "\xA9"},
                     {"a", "b"}});
}

// Random well-formed UTF-8, mixing the classes that matter to the pre-tokenizer and to NFC.
inline std::string random_text(base::Rng& rng, size_t chars) {
  static constexpr char32_t kPlain[] = {
      ' ',    '\n',   '\r',  '\t',  '\'',   's',   'T',    'l',    'L',     'e',     'V',    'r',
      '7',    '.',    '!',   '<',   '|',    0x17F, 0xA0,   0x3000, 0x301,   0x323,   0x1100, 0x1161,
      0x11A8, 0xAC00, 0x915, 0x94D, 0x1E69, 0xE9,  0x212B, 0x200D, 0x1F600, 0x1D7D8, 0xFFFD};
  std::string text;
  for (size_t i = 0; i < chars; ++i) {
    char32_t c = kPlain[rng.below(std::size(kPlain))];
    if (rng.below(4) == 0) c = static_cast<char32_t>(rng.below(0x110000));
    if (c < 0xD800 || c > 0xDFFF) append_utf8(c, text);
  }
  return text;
}

inline std::string random_bytes(base::Rng& rng, size_t count) {
  std::string bytes;
  // Bytes near the borders of UTF-8's forms, so that long prefixes of characters occur.
  static constexpr unsigned char kEdges[] = {0x41, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xC2,
                                             0xE0, 0xE6, 0xED, 0xEF, 0xF0, 0xF3, 0xF4, 0xF5, 0xFF};
  for (size_t i = 0; i < count; ++i) {
    const auto any = static_cast<char>(rng.below(256));
    bytes += rng.below(3) == 0 ? any : static_cast<char>(kEdges[rng.below(std::size(kEdges))]);
  }
  return bytes;
}

}  // namespace karat::text
