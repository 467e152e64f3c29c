#include "text/tokenizer_spec.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/error.h"
#include "base/text.h"
#include "text/tokenizer_tables.h"

namespace karat::text {

using base::ErrorKind;
using base::fail;
using base::printable;

std::optional<uint32_t> TokenizerSpec::special_id(std::string_view name) const {
  for (const SpecialId& special : special_ids) {
    if (special.name == name) return special.id;
  }
  return std::nullopt;
}

void add_end_ids(TokenizerSpec& spec) {
  // llama.cpp, llama-vocab.cpp: the members of its list of end-of-generation texts that this family
  // has.
  static constexpr std::array<std::string_view, 5> kEndTexts = {
      "<|im_end|>", "<|endoftext|>", "<|fim_pad|>", "<|repo_name|>", "<|file_sep|>"};
  for (const AddedToken& token : spec.added) {
    if (std::ranges::find(kEndTexts, token.content) != kEndTexts.end()) {
      spec.end_ids.push_back(token.id);
    }
  }
  for (const SpecialId& special : spec.special_ids) {
    if (special.name == "eos" || special.name == "eot" || special.name == "eom") {
      spec.end_ids.push_back(special.id);
    }
  }
  std::ranges::sort(spec.end_ids);
  spec.end_ids.erase(std::unique(spec.end_ids.begin(), spec.end_ids.end()), spec.end_ids.end());
}

TokenizerSpec spec_from_gguf(GgufTokenizer gguf) {
  const std::string place = gguf.file + ": tokenizer.ggml.";
  if (gguf.model != "gpt2" || gguf.pre != "qwen35") {
    throw fail(
        ErrorKind::unsupported,
        "%smodel is '%s' and tokenizer.ggml.pre '%s'; only 'gpt2' with 'qwen35' is supported",
        place.c_str(), printable(gguf.model).c_str(), printable(gguf.pre).c_str());
  }
  if (gguf.types.size() != gguf.tokens.size()) {
    throw fail(ErrorKind::bad_input, "%stoken_type has %zu entries, but tokens %zu", place.c_str(),
               gguf.types.size(), gguf.tokens.size());
  }
  TokenizerSpec spec;
  spec.tokens = std::move(gguf.tokens);
  spec.merges = std::move(gguf.merges);
  spec.special_ids = std::move(gguf.special_ids);
  spec.add_bos = gguf.add_bos;
  spec.add_eos = gguf.add_eos;
  spec.types.reserve(gguf.types.size());
  for (uint32_t id = 0; id < gguf.types.size(); ++id) {
    const auto type = static_cast<TokenType>(gguf.types[id]);
    switch (type) {
      case TokenType::control:
      case TokenType::user_defined:
        spec.added.push_back({id, spec.tokens[id], type == TokenType::control, false});
        break;
      case TokenType::normal:
      case TokenType::unused:
      case TokenType::byte:
        break;
      default:
        throw fail(ErrorKind::bad_input, "%stoken_type[%u] is %d; 1, 3, 4, 5 and 6 are possible",
                   place.c_str(), id, gguf.types[id]);
    }
    spec.types.push_back(type);
  }
  for (const SpecialId& special : spec.special_ids) {
    if (special.id >= spec.tokens.size()) {
      throw fail(ErrorKind::bad_input, "%s%s_token_id is %u, but there are only %zu tokens",
                 place.c_str(), special.name.c_str(), special.id, spec.tokens.size());
    }
  }
  add_end_ids(spec);
  resolve(spec, {place + "tokens", place + "merges", place + "tokens"});
  return spec;
}

}  // namespace karat::text
